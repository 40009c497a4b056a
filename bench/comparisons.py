"""The compared contenders, and the speedups that are required of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.figures import Bound, Figure, speed_ratios
from bench.processor import Processor
from bench.workloads import ALL_LENGTHS, SHORT_TEXTS

NUM_TASKS: Final = 1000
OURS: Final = f"{NUM_TASKS} prefixes"
VECTORS: Final = f"{NUM_TASKS} vectors"
RANK: Final = 8
WITH_RANK: Final = f"{VECTORS} of rank {RANK}"
OURS_INT8: Final = f"{OURS}, int8"
PLAIN: Final = f"{OURS}, plain kernels"
BARE: Final = "no prefix"
LINEAR: Final = "F.linear layers alone"
FASTEST: Final = "fastest linear layers alone"
PEFT: Final = "PEFT, set_adapter"
ADAPTERS: Final = "AdapterHub, BatchSplit"
POLYLORA: Final = "PolyLoRA, rank 8"
VLLM: Final = "vLLM, LoRA of rank 8"
ONNX_RUNTIME: Final = "ONNX Runtime, one model"
OPENVINO: Final = "OpenVINO, one model"

SAME_KERNELS: Final = "the chosen kernels are the plain ones"

REQUIRED_BATCH: Final = 64
"""The batch size for which bounds were set."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The backbone, number type, workload and batch size of a ratio."""

    backbone: str
    dtype: str
    workload: str
    batch: int

    @property
    def group(self) -> str:
        return f"{self.backbone}, {self.dtype}, {self.workload}, batches of {self.batch}"


Key = tuple[str | None, str | None, str | None]
"""A backbone, a number type and a workload; None stands for all."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The required speedup of one contender over another.

    `bounds` are the minimum ratios. They apply to processors with the instructions for which they
    were set. `is_no_slower` instead requires at least a ratio of 1 of all processors and batch
    sizes, less the noise of the run.
    """

    contender: str
    other: str
    bounds: Mapping[Key, float]
    is_no_slower: bool = False

    def bound(self, cell: Cell, *, applies: bool) -> Bound | None:
        if cell.batch != REQUIRED_BATCH:
            return None
        given = (cell.backbone, cell.dtype, cell.workload)
        for key, value in self.bounds.items():
            if all(wanted in {None, found} for wanted, found in zip(key, given, strict=True)):
                return Bound(value, applies=applies)
        return None

    def figure(
        self,
        cell: Cell,
        seconds: Mapping[str, Sequence[float]],
        absent: Mapping[str, str],
        kernels: Mapping[str, Mapping[str, str]],
    ) -> Figure:
        """Compare the seconds of the rounds, or give the reason why they cannot be compared."""
        name = f"{self.contender} / {self.other}"
        bound = self.bound(cell, applies=Processor.here().meets_bounds)
        missing = [one for one in (self.contender, self.other) if one in absent]
        if missing:
            return Figure.absent(cell.group, name, "times", absent[missing[0]], bound)
        if self.is_no_slower and kernels[self.contender] == kernels[self.other]:
            return Figure.absent(cell.group, name, "times", SAME_KERNELS)
        ratios = speed_ratios(seconds[self.contender], seconds[self.other])
        if self.is_no_slower:
            bound = Bound.unchanged(ratios)
        return Figure.of_rounds(cell.group, name, "times", ratios, bound)


COMPARISONS: Final = (
    Comparison(BARE, LINEAR, {("minilm", "float32", None): 1.5}),
    Comparison(
        BARE,
        FASTEST,
        {
            ("minilm", "float32", None): 0.75,
            ("minilm", "bfloat16", None): 0.72,
            ("bert-base", "float32", None): 0.88,
            ("bert-base", "bfloat16", None): 0.82,
        },
    ),
    Comparison(LINEAR, FASTEST, {}),
    Comparison("1 prefix", BARE, {}),
    Comparison(OURS, BARE, {("minilm", None, None): 0.95, ("bert-base", None, None): 0.95}),
    Comparison(OURS, "1 prefix", {}),
    Comparison(VECTORS, OURS, {(None, None, None): 0.97}),
    Comparison(WITH_RANK, OURS, {(None, None, None): 0.97}),
    Comparison(f"{OURS}, Zipf", BARE, {}),
    Comparison(OURS, PLAIN, {}, is_no_slower=True),
    Comparison(OURS, PEFT, {(None, None, SHORT_TEXTS): 7, (None, None, ALL_LENGTHS): 6.5}),
    Comparison(
        OURS,
        ADAPTERS,
        {
            (None, "float32", SHORT_TEXTS): 3.2,
            (None, "float32", ALL_LENGTHS): 5.5,
            (None, "bfloat16", SHORT_TEXTS): 2.5,
            (None, "bfloat16", ALL_LENGTHS): 4,
        },
    ),
    Comparison(OURS, POLYLORA, {}),
    Comparison(OURS, VLLM, {}),
    Comparison(OURS, ONNX_RUNTIME, {}),
    Comparison(
        OURS,
        OPENVINO,
        {
            ("minilm", None, SHORT_TEXTS): 1.05,
            ("minilm", None, ALL_LENGTHS): 1.7,
            ("bert-base", None, SHORT_TEXTS): 1.2,
            ("bert-base", None, ALL_LENGTHS): 2,
        },
    ),
    Comparison(
        OURS_INT8,
        OPENVINO,
        {(None, "bfloat16", SHORT_TEXTS): 1.2, (None, "bfloat16", ALL_LENGTHS): 1.8},
    ),
    Comparison(OURS_INT8, f"{FASTEST}, int8", {}),
    # The most that any exact program can reach on this machine.
    *(Comparison(FASTEST, other, {}) for other in (PEFT, ADAPTERS, OPENVINO)),
    Comparison(OURS_INT8, OURS, {}),
)


def ratios(
    cell: Cell,
    seconds: Mapping[str, Sequence[float]],
    absent: Mapping[str, str],
    kernels: Mapping[str, Mapping[str, str]],
) -> Iterator[Figure]:
    """Compare the contenders of a cell that were measured, or that failed."""
    known = seconds.keys() | absent.keys()
    for pair in COMPARISONS:
        if {pair.contender, pair.other} <= known:
            yield pair.figure(cell, seconds, absent, kernels)
