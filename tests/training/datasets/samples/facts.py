"""The fact that the samples state: whether a noun is good."""

from tests.training.learnable_tasks import NOUNS


def facts(count: int) -> list[tuple[int, str, str]]:
    return [(n, NOUNS[n % len(NOUNS)], ("bad", "good")[n % 2]) for n in range(count)]
