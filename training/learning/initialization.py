"""Initial values of a prefix or a prompt: from real tokens, or from a published prefix."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import JsonValue
from torch import Tensor

from prefixes import PrefixSpec
from prefixes.backbone import Backbone, EncodedInput
from training.learning.random_numbers import generator_for


@dataclass(frozen=True, slots=True)
class StartingPrefix:
    """The prefix that a run starts from, with its digest.

    `head_differs` says why its head was not reused; empty if it was.
    """

    name: str
    sha256: str
    head_differs: tuple[str, ...]

    def __str__(self) -> str:
        head = f"a head of its own ({'; '.join(self.head_differs)})"
        return f"begins as {self.name}, with {head if self.head_differs else 'its head'}"

    @property
    def facts(self) -> dict[str, JsonValue]:
        return {"from": self.name, "sha256": self.sha256, "head": not self.head_differs}


def real_tokens(
    spec: PrefixSpec, inputs: Sequence[EncodedInput], backbone: Backbone, *, seed: int
) -> Tensor:
    """Draw P tokens from as many training texts; return the values of a learner's table for them.

    For a prefix, these are keys and values `[P, L*2*H*D]`, as the backbone computes them without
    a prefix. For a prompt, these are word embeddings `[P, E]`.
    """
    generator = generator_for(seed, "activations")
    chosen = torch.randperm(len(inputs), generator=generator)[: spec.prefix_length]
    rows = [backbone.row(inputs[int(number)][0]) for number in chosen]
    batch = backbone.pack(rows)
    order = torch.randperm(batch.num_tokens, generator=generator)
    tokens = order[torch.arange(spec.prefix_length) % batch.num_tokens].to(backbone.device)
    if spec.method == "prompt":
        embed = backbone.model.get_input_embeddings()
        embeddings: Tensor = embed(batch.token_ids[0, tokens])
        return embeddings.detach()
    kv = backbone.keys_and_values(batch)[:, :, tokens]
    return kv.permute(2, 0, 1, 3, 4).flatten(1)  # (L, 2, P, H, D) -> (P, L*2*H*D)
