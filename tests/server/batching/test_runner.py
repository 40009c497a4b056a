from collections.abc import Sequence

import numpy as np
import pytest
import torch

from prefixes.backbone import (
    Backbone,
    EncodedText,
    MixedBatch,
    ResidentPrefix,
    pool_of,
    run_mixed,
)
from server.batching.runner import Job, Runner
from server.errors import InferenceFailed
from tests.factories import make_prefix


def jobs_of(resident: ResidentPrefix, *lengths: int) -> list[tuple[EncodedText, ResidentPrefix]]:
    return [(EncodedText(list(range(5, 5 + n)), [0] * n), resident) for n in lengths]


def test_a_poison_row_fails_alone_and_the_others_get_correct_outputs(
    backbone: Backbone,
) -> None:
    pool, (resident,) = pool_of(backbone, [make_prefix(backbone.fingerprint)])
    jobs = jobs_of(resident, 3, 4, 5, 6, 7)
    alone = [run_mixed(backbone, pool, [job])[0].numpy() for job in jobs]
    jobs[3] = (EncodedText([10**6], [0]), resident)  # no such token: the embedding lookup fails
    runner = Runner(backbone, pool)
    result = runner.run(jobs, runner.pack(jobs))
    assert result.was_split
    assert isinstance(result.rows[3], InferenceFailed)
    # The client gets the kind of the failure alone. The log has the device's own message.
    assert str(result.rows[3]) == "The forward pass failed for this input: IndexError"
    for index in (0, 1, 2, 4):
        row = result.rows[index]
        assert not isinstance(row, InferenceFailed)
        np.testing.assert_allclose(row, alone[index], atol=1e-5)


def test_a_row_that_cannot_be_packed_fails_alone(backbone: Backbone) -> None:
    pool, (resident,) = pool_of(backbone, [make_prefix(backbone.fingerprint)])
    jobs = [*jobs_of(resident, 3, 4), (EncodedText([None], [0]), resident)]  # type: ignore[list-item]
    runner = Runner(backbone, pool)
    result = runner.run(jobs, runner.pack(jobs))
    assert [isinstance(row, InferenceFailed) for row in result.rows] == [False, False, True]


def test_a_row_with_logits_that_are_not_finite_fails_alone(backbone: Backbone) -> None:
    good, bad = (make_prefix(backbone.fingerprint, seed=seed) for seed in (1, 2))
    pool, (first, second) = pool_of(backbone, [good, bad])
    assert second.head.output_bias is not None
    second.head.output_bias[0] = torch.nan
    jobs = jobs_of(first, 3) + jobs_of(second, 4)
    runner = Runner(backbone, pool)
    result = runner.run(jobs, runner.pack(jobs))
    assert [isinstance(row, InferenceFailed) for row in result.rows] == [False, True]
    assert not result.was_split


def test_the_failure_of_a_batch_whose_halves_succeed_is_logged(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool, (resident,) = pool_of(backbone, [make_prefix(backbone.fingerprint)])
    pack = MixedBatch.pack

    def pack_few(backbone: Backbone, jobs: Sequence[Job]) -> MixedBatch:
        if len(jobs) > 2:
            raise torch.OutOfMemoryError("4 GiB wanted")
        return pack(backbone, jobs)

    monkeypatch.setattr(MixedBatch, "pack", pack_few)
    result = Runner(backbone, pool).run(jobs_of(resident, 3, 4, 5, 6), None)
    assert result.was_split
    assert not any(isinstance(row, InferenceFailed) for row in result.rows)
    (record,) = caplog.records
    assert "batch of 4 inputs failed" in record.getMessage()
    assert "4 GiB wanted" in caplog.text
