"""Choices: cached by everything that they depend on, and never a reason not to start."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone.kernels.cache import KernelCache
from prefixes.backbone.kernels.chooser import KernelChooser
from prefixes.backbone.kernels.machine import describe_processor
from prefixes.errors import KernelUnavailable
from tests.prefixes.backbone.kernels.contests import CPU, CountedCandidate, contest_of


def chooser(path: Path | None, **facts: str) -> KernelChooser:
    return KernelChooser(CPU, KernelCache(path), facts)


def num_measured(path: Path | None, *names: str, **facts: str) -> int:
    """Choose once; return how often candidates ran."""
    candidates = [CountedCandidate(name) for name in ("torch", *names)]
    chooser(path, **facts).choose(contest_of(*candidates), "auto")
    return sum(one.num_calls for one in candidates)


@pytest.fixture
def cache_file(tmp_path: Path) -> Path:
    return tmp_path / "kernels.json"


def test_the_second_start_measures_nothing_and_chooses_the_same(cache_file: Path) -> None:
    assert num_measured(cache_file, "onednn", weights="a") > 0
    content = cache_file.read_bytes()

    assert num_measured(cache_file, "onednn", weights="a") == 0
    assert cache_file.read_bytes() == content


def test_other_facts_or_candidates_are_measured_and_all_are_kept(cache_file: Path) -> None:
    num_measured(cache_file, "onednn", weights="a")

    assert num_measured(cache_file, "onednn", weights="b") > 0
    assert num_measured(cache_file, "onednn", "other", weights="a") > 0
    assert num_measured(cache_file, "onednn", weights="a") == 0
    assert num_measured(cache_file, "onednn", weights="b") == 0


def test_another_number_of_threads_is_measured(
    cache_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_measured(cache_file, "onednn")
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)

    assert num_measured(cache_file, "onednn") > 0


def test_only_the_latest_choices_are_kept(cache_file: Path) -> None:
    cache = KernelCache(cache_file)
    for number in range(100):
        cache.store({"weights": str(number)}, "torch")

    assert cache.find({"weights": "99"}, ["torch"]) == "torch"
    assert cache.find({"weights": "0"}, ["torch"]) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"format": 2, "choices": []}',
        b'{"format": 1}',
        b'{"format": 1, "choices": [{"facts": 3}]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_or_foreign_cache_is_ignored_and_rewritten(
    cache_file: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cache_file.write_bytes(content)

    assert num_measured(cache_file, "onednn") > 0

    assert "is ignored" in caplog.text
    assert len(json.loads(cache_file.read_bytes())["choices"]) == 1
    assert num_measured(cache_file, "onednn") == 0


def test_a_cached_kernel_that_is_not_known_is_measured_again(cache_file: Path) -> None:
    num_measured(cache_file, "onednn")
    content = json.loads(cache_file.read_bytes())
    content["choices"][0]["chosen"] = "unheard-of"
    cache_file.write_text(json.dumps(content))

    assert num_measured(cache_file, "onednn") > 0


def test_a_folder_that_cannot_be_written_only_prevents_caching(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = tmp_path / "missing" / "kernels.json"

    assert num_measured(missing, "onednn") > 0
    assert num_measured(missing, "onednn") > 0
    assert "cannot cache the choice of kernels" in caplog.text


def test_without_a_file_nothing_is_cached() -> None:
    assert num_measured(None, "onednn") > 0
    assert num_measured(None, "onednn") > 0


def test_a_lone_candidate_is_not_measured(cache_file: Path) -> None:
    assert num_measured(cache_file) == 0
    assert not cache_file.exists()


def test_all_choices_are_logged_once_as_a_line_and_as_a_table(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    one = chooser(None)
    broken = CountedCandidate("compiled", error=RuntimeError("no compiler"))
    one.choose(contest_of(CountedCandidate("torch"), CountedCandidate("onednn")), "auto")
    one.choose(contest_of(CountedCandidate("torch"), broken, operation="attention"), "auto")

    one.log()

    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("kernels on cpu: linear: ")
    assert "ms at a short text, a batch; torch " in message
    assert "attention: torch (compiled excluded: no compiler)" in message
    assert "\n" not in message
    table: list[dict[str, Any]] = record.fields["kernels"]  # type: ignore[attr-defined]
    assert [row["operation"] for row in table] == ["linear", "attention"]
    assert set(table[0]["milliseconds"]["onednn"]) == {"a short text", "a batch"}
    assert table[1]["excluded"] == {"compiled": "no compiler"}


def test_a_requested_kernel_is_neither_measured_nor_cached(cache_file: Path) -> None:
    slow = CountedCandidate("onednn")
    contest = contest_of(CountedCandidate("torch"), slow)

    assert chooser(cache_file).choose(contest, "onednn") == "onednn"

    assert slow.num_calls == 2  # to compare the results of both workloads
    assert not cache_file.exists()


@pytest.mark.parametrize(
    "candidate",
    [
        CountedCandidate("onednn", error=RuntimeError("needs avx512")),
        CountedCandidate("onednn", 2.0),
    ],
)
def test_a_requested_kernel_that_cannot_run_is_an_error_with_the_next_step(
    candidate: CountedCandidate,
) -> None:
    contest = contest_of(CountedCandidate("torch"), candidate)

    with pytest.raises(
        KernelUnavailable,
        match=r"linear kernel 'onednn' cannot run on this machine: (needs avx512|its results "
        r"differ by 1); choose auto or torch",
    ):
        chooser(None).choose(contest, "onednn")


def test_a_requested_kernel_that_this_backbone_does_not_support_is_an_error() -> None:
    with pytest.raises(KernelUnavailable, match="'bmm' does not support this backbone or device"):
        chooser(None).choose(contest_of(CountedCandidate("torch")), "bmm")


def test_a_processor_is_described_by_its_name_and_vector_instructions() -> None:
    text = "processor\t: 0\nvendor_id\t: X\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 fma sse\n"

    assert describe_processor(text) == "X AMD EPYC avx2 fma"
    assert describe_processor("Features\t: fp asimd sve") == "asimd sve"
