"""The meter: which answers are counted, and how many may wait."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prefixes import PrefixRef, PrefixSpec
from prefixes.encoded import EncodedInput, EncodedText
from prefixes.spec import Decisions
from server.drift import meter as meter_module
from server.drift.meter import AnswerMeter
from tests.factories import make_spec
from tests.prefixes.answers.test_statistics import count
from tests.prefixes.facts import BACKBONE

pytestmark = pytest.mark.anyio

SPAM = PrefixRef("acme", "spam", version=1)
PLAIN = make_spec(BACKBONE)
WATCHED = make_spec(BACKBONE, decisions=Decisions(reference=count(PLAIN, [0, 1])))


@dataclass(frozen=True)
class Given:
    """An answer as the engine gives it."""

    digest: str = "1" * 64
    spec: PrefixSpec = WATCHED
    version: PrefixRef = SPAM
    texts: EncodedInput = (EncodedText((1, 2), (0, 0)),)
    outputs: tuple[NDArray[np.float32], ...] = field(
        default_factory=lambda: (np.array([0, 1], np.float32),)
    )


async def numbers_of(meter: AnswerMeter) -> dict[tuple[str, int], int]:
    rows = await meter.take()
    return {(row.version.digest[0], row.hour.hour): row.statistics.texts for row, _ in rows}


async def test_only_versions_with_a_reference_are_counted_by_version_and_hour() -> None:
    moment = 3600.0 * 5
    meter = AnswerMeter(None, now=lambda: moment)
    meter.observe([Given(), Given(spec=PLAIN), Given(digest="2" * 64)])
    meter.observe([Given()])
    assert await numbers_of(meter) == {("1", 5): 2, ("2", 5): 1}
    meter.observe([Given()])
    assert await numbers_of(meter) == {("1", 5): 1}
    meter.close()


async def test_what_could_not_be_written_is_counted_again() -> None:
    meter = AnswerMeter(None, now=lambda: 0.0)
    meter.observe([Given()])
    rows = await meter.take()
    meter.observe([Given()])
    await meter.put_back(rows)
    assert await numbers_of(meter) == {("1", 0): 2}
    meter.close()


async def test_answers_beyond_the_limit_are_not_counted(monkeypatch: Any) -> None:
    monkeypatch.setattr(meter_module, "_MAX_WAITING", 3)
    meter = AnswerMeter(None, now=lambda: 0.0)
    meter.observe([Given()] * 4)
    assert await numbers_of(meter) == {}
    meter.observe([Given()] * 3)
    assert await numbers_of(meter) == {("1", 0): 3}
    meter.close()
