"""The class of a processor, which decides which required speedups apply."""

import pytest

from bench.processor import Processor

ZEN3 = "model name\t: AMD EPYC\nflags\t\t: fma avx avx2 vaes\n"
ZEN5 = "model name\t: AMD EPYC\nflags\t\t: avx2 avx512f avx512_bf16 avx512_vnni\n"
CASCADE_LAKE = "model name\t: Xeon\nflags\t\t: avx2 avx512f avx512_vnni\n"
GRAVITON3 = "processor\t: 0\nFeatures\t: asimd sve i8mm bf16\n"


@pytest.mark.parametrize(
    ("text", "instructions", "meets_bounds"),
    [
        (ZEN3, "AVX2", False),
        (ZEN5, "AVX-512, bfloat16, VNNI", True),
        (CASCADE_LAKE, "AVX-512, VNNI", False),
        (GRAVITON3, "SVE, bfloat16, I8MM", False),
        ("", "unknown instructions", False),
    ],
)
def test_a_processor_is_of_the_class_of_its_flags(
    text: str, instructions: str, *, meets_bounds: bool
) -> None:
    processor = Processor.of(text, num_cores=2)
    assert (processor.instructions, processor.meets_bounds) == (instructions, meets_bounds)


def test_cores_that_differ_have_the_flags_of_all() -> None:
    assert Processor.of(ZEN5 + "\n" + ZEN3, num_cores=2).instructions == "AVX2"


def test_a_processor_is_named_with_its_cores_and_class() -> None:
    assert str(Processor.of(ZEN3, num_cores=2)) == "AMD EPYC, 2 cores, AVX2"
