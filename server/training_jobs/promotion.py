"""The margin rule: decides whether a new version replaces the live one."""

from dataclasses import dataclass

from training.service.protocol.messages import Success


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the alias moves to the new version, and the reason that its owner reads."""

    is_promoted: bool
    reason: str


def decide(outcome: Success, *, live_version: int | None, margin: float) -> Decision:
    """Compare the figures of both versions on the same held-out rows; higher is better.

    Args:
        outcome: the figures that the worker measured.
        live_version: the version that was live when the training started; None if there was none.
        margin: the new figure must be greater by more than this.
    """
    if live_version is None:
        return Decision(True, "There was no live version.")
    new, live = outcome.new, outcome.live
    if live is None or new is None:
        return Decision(
            False, f"The new version could not be compared with version {live_version}."
        )
    is_better = new - live > margin
    rows = f"{outcome.num_rows} {outcome.measured_on.replace('_', '-')} rows"
    verb = "exceeds" if is_better else "does not exceed"
    return Decision(
        is_better,
        f"The improvement {verb} the margin of {margin:g}: {outcome.metric} on "
        f"{rows} is {new:.4f} for the new version and "
        f"{live:.4f} for version {live_version}.",
    )


def keep_other_version(live_version: int | None) -> Decision:
    """Keep a version that became live during the training: it was not part of the comparison."""
    was = "No version was" if live_version is None else f"Version {live_version} was"
    return Decision(False, f"{was} live when the training started; another version is live now.")
