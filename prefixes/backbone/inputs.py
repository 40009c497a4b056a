"""ModelInputs: the tensors that a model gets for a packed batch."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ModelInputs:
    """The inputs for a packed batch of T tokens, each `[1, T]`.

    If the batch has prompts, `embeddings` `[1, T, E]` replace `token_ids`.
    """

    token_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    embeddings: Tensor | None = None

    def named(self, *names: str) -> dict[str, Tensor]:
        """Return keyword arguments for a transformers model: the tokens, and those in `names`."""
        known = {"token_type_ids": self.token_type_ids, "position_ids": self.position_ids}
        tokens = (
            {"input_ids": self.token_ids}
            if self.embeddings is None
            else {"inputs_embeds": self.embeddings}
        )
        return {**tokens, **{name: known[name] for name in names}}
