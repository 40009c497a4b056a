"""Learning-rate schedules: where they begin, peak and end."""

import pytest

from training.learning.schedule import learning_rate_factor
from training.settings.train_settings import ScheduleName


def course(schedule: ScheduleName, *, total: int = 100, warmup: float = 0.1) -> list[float]:
    return [
        learning_rate_factor(schedule, step, total, warmup=warmup, steps_per_epoch=20)
        for step in range(total)
    ]


@pytest.mark.parametrize(
    "schedule", ["linear", "cosine", "constant", "exponential", "exponential_per_epoch"]
)
def test_every_schedule_warms_up_to_its_peak_and_never_rises_again(schedule: ScheduleName) -> None:
    factors = course(schedule)
    assert factors[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)


@pytest.mark.parametrize(
    ("schedule", "halfway", "last"),
    [
        pytest.param("linear", 0.5, 0.01, id="linear"),
        pytest.param("cosine", 0.5, 0.0, id="cosine"),
        pytest.param("constant", 1.0, 1.0, id="constant"),
        pytest.param("exponential", 0.95**10, 0.95**20, id="exponential"),
        pytest.param("exponential_per_epoch", 0.95**2, 0.95**4, id="exponential-per-epoch"),
    ],
)
def test_a_schedule_falls_as_its_name_says(
    schedule: ScheduleName, halfway: float, last: float
) -> None:
    factors = course(schedule, warmup=0)
    assert factors[50] == pytest.approx(halfway)
    assert factors[-1] == pytest.approx(last, rel=0.02, abs=1e-3)


def test_a_training_of_one_step_learns() -> None:
    assert course("linear", total=1, warmup=0.06) > [0]
    assert course("linear", total=1, warmup=0) > [0]


def test_a_schedule_by_epochs_falls_between_epochs_only() -> None:
    factors = course("exponential_per_epoch", total=60, warmup=0)
    assert [factors[step] for step in (0, 19, 20, 39, 40, 59)] == pytest.approx(
        [1.0, 1.0, 0.95, 0.95, 0.95**2, 0.95**2]
    )
