"""ModelInputs: what a packed batch gives a model."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ModelInputs:
    """What a packed batch of T tokens gives a model, each `[1, T]`.

    `embeddings` `[1, T, E]` stand in for `token_ids` where a batch has prompts.
    """

    token_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    embeddings: Tensor | None = None

    def named(self, *names: str) -> dict[str, Tensor]:
        """Give the keyword arguments of a transformers model, those of `names` among them."""
        known = {"token_type_ids": self.token_type_ids, "position_ids": self.position_ids}
        tokens = (
            {"input_ids": self.token_ids}
            if self.embeddings is None
            else {"inputs_embeds": self.embeddings}
        )
        return {**tokens, **{name: known[name] for name in names}}
