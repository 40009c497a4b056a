"""The facts of a small backbone that need not exist, for tests that run none."""

from typing import Final

from prefixes import BackboneFingerprint

BACKBONE: Final = BackboneFingerprint(
    name="tiny",
    model_type="bert",
    hidden_size=8,
    num_layers=2,
    num_heads=2,
    head_size=4,
    max_positions=128,
    vocab_size=99,
    weights_sha256="0" * 64,
    tokenizer_sha256="1" * 64,
)
