"""Backbone: a frozen transformers encoder that runs packed batches with prefixes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prefixes.backbone.architecture import Architecture
from prefixes.backbone.attention import PrefixedCall
from prefixes.backbone.dropout import RowDropout
from prefixes.backbone.hooks import hook_dropouts, hooks_of
from prefixes.backbone.inputs import ModelInputs
from prefixes.backbone.kernels.names import LONGEST_COMPILED, PLAIN, Kernels
from prefixes.backbone.packing import PackedBatch, Prompts, Row
from prefixes.backbone.tokens import TextEncoder
from prefixes.encoded import EncodedText
from prefixes.fingerprint import BackboneFingerprint


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """A frozen encoder on one device, shared by all prefixes. Built by `load_backbone`.

    `dtype` is the type of weights, activations and prefixes; the linear layers of a quantized
    encoder multiply in int8.
    """

    model: PreTrainedModel
    texts: TextEncoder
    architecture: Architecture
    fingerprint: BackboneFingerprint
    pooler: Callable[[Tensor], Any] | None
    device: torch.device
    dtype: torch.dtype
    is_quantized: bool = False
    kernels: Kernels = PLAIN

    @property
    def precision(self) -> torch.dtype:
        """The number type of the matrix multiplications, which determines the error of outputs."""
        return torch.int8 if self.is_quantized else self.dtype

    def __call__(self, batch: PackedBatch, prefix_pool: Tensor) -> Tensor:
        """Run a packed batch of T tokens.

        Args:
            batch: the requests, on this backbone's device.
            prefix_pool: keys and values `[L, 2, C, H, D]`, indexed by the batch's slots; gradients
                flow to it.

        Returns:
            The last hidden states `[T, hidden]`.
        """
        return self._run(batch, prefix_pool, None)

    @torch.no_grad()
    def keys_and_values(self, batch: PackedBatch) -> Tensor:
        """Return the keys and values of a batch's T tokens, `[L, 2, T, H, D]`.

        The layout is that of the pool: any selection of tokens from rows without prefixes can
        serve as a prefix.
        """
        recorded: list[Tensor] = []
        self._run(batch, self.empty_pool(1), recorded)
        return batch.in_callers_order(torch.stack(recorded), 2)

    def pack(self, rows: Sequence[Row]) -> PackedBatch:
        """Join rows on this backbone's device, for its attention kernel. Needs at least one row."""
        longest = LONGEST_COMPILED[self.kernels.attention]
        return PackedBatch.pack(rows, self.device, longest_compiled=longest)

    def _run(
        self, batch: PackedBatch, prefix_pool: Tensor, recorded: list[Tensor] | None
    ) -> Tensor:
        if batch.dropout is not None:
            hook_dropouts(self.model)
        call = PrefixedCall(batch, prefix_pool, recorded)
        inputs = ModelInputs(
            batch.token_ids,
            batch.token_type_ids,
            batch.position_ids,
            None if batch.prompts is None else self._embeddings(batch, batch.prompts),
        )
        with hooks_of(call):
            hidden = self.architecture.forward(self.model, inputs, call)
        assert call.num_layers_done == self.fingerprint.num_layers
        return batch.in_callers_order(hidden)

    def _embeddings(self, batch: PackedBatch, prompts: Prompts) -> Tensor:
        """Embed a batch with prompts as `[1, T, E]`, the input of the model.

        Most tokens get plain word embeddings. Those behind a prompt go through the whole
        embedding module here and again in the model, as in P-tuning v2
        (`BertPromptForSequenceClassification`).
        """
        bare: Tensor = self.model.get_input_embeddings()(batch.token_ids)[0]
        texts = prompts.text_places
        whole = self.architecture.embed(
            self.model, batch.token_ids[:, texts], prompts.token_type_ids, prompts.position_ids
        )[0]
        bare = bare.index_copy(0, texts, whole)
        return bare.index_copy(0, prompts.places, prompts.embeddings.to(bare.dtype))[None]

    def row(
        self,
        text: EncodedText,
        *,
        position_offset: int = 0,
        slots: tuple[int, ...] = (),
        vectors: tuple[int, ...] = (),
        rank: int = 0,
        prompt: Tensor | None = None,
        dropout: RowDropout | None = None,
    ) -> Row:
        """Make the row of an encoded text, with its prefix, vectors or prompt if any.

        `dropout` is for rows that train.
        """
        first = self.architecture.first_position(self.model.config) + position_offset
        return Row(
            text.token_ids, text.token_type_ids, first, slots, vectors, rank, prompt, dropout
        )

    def empty_pool(self, num_slots: int) -> Tensor:
        """Make a pool `[L, 2, C, H, D]` of C slots, in the backbone's dtype and on its device."""
        facts = self.fingerprint
        shape = (facts.num_layers, 2, num_slots, facts.num_heads, facts.head_size)
        return torch.zeros(shape, dtype=self.dtype, device=self.device)
