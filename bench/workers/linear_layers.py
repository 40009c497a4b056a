"""The linear layers of an encoder alone: with plain PyTorch, and with the fastest known product.

Any program could run these products: which one is fastest depends on the processor and on the sizes
of layer and batch. Each pair of sizes therefore gets the product that was measured to be fastest.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from protocol import Contender
from torch import Tensor, nn
from torch.nn import functional

Product = Callable[[Tensor], object]
"""Multiplies tokens `[T, I]` with a weight that was prepared once."""

ROUNDS = 5
TOKENS_PER_CALL = 512
"""Few tokens are multiplied with several layers in turn, as in a pass, where weights come from
memory and not from the cache."""

HOPELESS = 3.0
"""A candidate this many times slower than another in its first call is not measured further."""


@dataclass(frozen=True)
class Candidate:
    """A way to multiply: `prepare` packs the weight of a layer, and `tokens` makes its input."""

    prepare: Callable[[nn.Linear], Product]
    tokens: Callable[[int, nn.Linear], Tensor]


def _plain(layer: nn.Linear) -> Product:
    return lambda tokens: functional.linear(tokens, layer.weight, layer.bias)


def _onednn(layer: nn.Linear) -> Product:
    packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight)  # noqa: SLF001 - no public name
    multiply = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 - as above
    return lambda tokens: multiply(tokens, packed, layer.bias, "none", [], "")


def _int8_codes(layer: nn.Linear) -> Tensor:
    return torch.randint(-127, 128, layer.weight.shape, dtype=torch.int8)


def _qlinear(layer: nn.Linear) -> Product:
    packed = torch.ops.onednn.qlinear_prepack(_int8_codes(layer), None)
    scales = torch.ones(layer.out_features)
    zeros = torch.zeros(layer.out_features, dtype=torch.int64)
    how = (None, 1.0, 0, torch.float32, "none", [], "")
    return lambda codes: torch.ops.onednn.qlinear_pointwise(
        codes, 1.0, 0, packed, scales, zeros, *how
    )


def _int_mm(layer: nn.Linear) -> Product:
    codes = _int8_codes(layer).t()
    return lambda tokens: torch._int_mm(tokens, codes)  # noqa: SLF001 - as above


def _floats(num_tokens: int, layer: nn.Linear) -> Tensor:
    return torch.randn(num_tokens, layer.in_features).to(layer.weight.dtype)


def _codes(dtype: torch.dtype) -> Callable[[int, nn.Linear], Tensor]:
    return lambda num, layer: torch.randint(0, 128, (num, layer.in_features), dtype=dtype)


PLAIN = "F.linear"
EXACT = {PLAIN: Candidate(_plain, _floats), "oneDNN, packed once": Candidate(_onednn, _floats)}
INT8 = {
    "qlinear_pointwise": Candidate(_qlinear, _codes(torch.uint8)),
    "_int_mm": Candidate(_int_mm, _codes(torch.int8)),
}
"""Products of codes. Rounding the tokens to codes is not part of them."""

Choices = dict[tuple[torch.Size, int], str]
"""The names of candidates by the shape of a weight and a number of tokens."""


@dataclass
class LinearLayers:
    """Runs linear layers once for every token of a batch, with the fastest of some candidates."""

    layers: Sequence[nn.Linear]
    candidates: Mapping[str, Candidate]
    _choices: Choices = field(default_factory=dict)
    _products: dict[tuple[int, str], Product] = field(default_factory=dict)
    _inputs: dict[tuple[str, int, int], Tensor] = field(default_factory=dict)

    def contender(self, batches: Sequence[int], num_texts: int) -> Contender:
        """Return a run of batches with these numbers of tokens."""
        kernels = {
            f"{shape[1]} to {shape[0]}, {size} tokens": self._choice(shape, size)
            for size in sorted(map(_size, set(batches)))
            for shape in self._by_shape
        }

        def run() -> int:
            for num_tokens in batches:
                self._multiply(num_tokens)
            return num_texts

        return Contender(run, kernels, sum(batches) * self._operations)

    @cached_property
    def _by_shape(self) -> dict[torch.Size, list[nn.Linear]]:
        found: dict[torch.Size, list[nn.Linear]] = {}
        for layer in self.layers:
            found.setdefault(layer.weight.shape, []).append(layer)
        return found

    @cached_property
    def _operations(self) -> int:
        return 2 * sum(layer.weight.numel() for layer in self.layers)

    @torch.inference_mode()
    def _multiply(self, num_tokens: int) -> None:
        for number, layer in enumerate(self.layers):
            name = self._choice(layer.weight.shape, _size(num_tokens))
            if (number, name) not in self._products:
                self._products[number, name] = self.candidates[name].prepare(layer)
            self._products[number, name](self._input(name, num_tokens, layer))

    def _input(self, name: str, num_tokens: int, layer: nn.Linear) -> Tensor:
        key = (name, num_tokens, layer.in_features)
        if key not in self._inputs:
            self._inputs[key] = self.candidates[name].tokens(num_tokens, layer)
        return self._inputs[key]

    def _choice(self, shape: torch.Size, size: int) -> str:
        if (shape, size) not in self._choices:
            some = self._by_shape[shape][: max(1, TOKENS_PER_CALL // size)]
            self._choices[shape, size] = fastest(self.candidates, some, size)
        return self._choices[shape, size]


@torch.inference_mode()
def fastest(
    candidates: Mapping[str, Candidate], layers: Sequence[nn.Linear], num_tokens: int
) -> str:
    """Return the candidate with the shortest of several alternating calls."""
    if len(candidates) == 1:
        return next(iter(candidates))
    calls: dict[str, Callable[[], float]] = {}
    for name, candidate in candidates.items():
        try:
            products = [candidate.prepare(layer) for layer in layers]
            calls[name] = partial(_seconds, products, candidate.tokens(num_tokens, layers[0]))
            calls[name]()  # the first call of a size includes its setup
        except (RuntimeError, AttributeError):  # this processor or torch does not have it
            calls.pop(name, None)
    first = {name: call() for name, call in calls.items()}
    kept = [name for name, taken in first.items() if taken <= HOPELESS * min(first.values())]
    rounds = [{name: calls[name]() for name in kept} for _ in range(ROUNDS)]
    return min(kept, key=lambda name: min(each[name] for each in rounds))


def _seconds(products: Sequence[Product], tokens: Tensor) -> float:
    started = time.perf_counter()
    for product in products:
        product(tokens)
    return time.perf_counter() - started


def _size(num_tokens: int) -> int:
    """Round up to a power of two: numbers of tokens that share a choice."""
    return 1 << (num_tokens - 1).bit_length()


def encoder_layers(model: nn.Module) -> list[nn.Linear]:
    """Return the linear layers that run for every token."""
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "pooler" not in name
    ]
