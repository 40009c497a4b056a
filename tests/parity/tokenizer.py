"""A tokenizer for tiny models that come without one: any will do, inputs are token numbers."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast


def borrow_tokenizer(folder: Path) -> None:
    """Save one of four tokens and of one token type, which fits every model."""
    vocab = {"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)
