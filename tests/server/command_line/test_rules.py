import json
from pathlib import Path

import pytest

from prefixes.registry import open_registry
from tests.prefixes.publishing import publish
from tests.server.command_line.caller import call


@pytest.fixture
def store(tmp_path: Path) -> tuple[str, Path]:
    registry = open_registry(tmp_path)
    registry.ensure_tenant("acme")
    publish(registry, "acme", "topic", "a")
    registry.close()
    return ("--store-folder", tmp_path)


def test_rules_are_set_shown_and_deleted(store: tuple[str, Path]) -> None:
    thresholds = ("--threshold", "good=0.8", "--threshold", "bad=0.25")
    done = call("rules", "set", "acme/topic", *thresholds, "--min-score", 0.5, *store)
    assert done.output == "acme/topic: set the rules\n"
    assert json.loads(call("rules", "show", "acme/topic:live", *store).output) == {
        "version": 1,
        "thresholds": {"good": 0.8, "bad": 0.25},
        "min_score": 0.5,
        "abstain": None,
        "long_text": None,
        "stride": None,
        "merge": None,
    }
    assert call("rules", "delete", "acme/topic", *store).code == 0
    missing = call("rules", "show", "acme/topic", *store)
    assert (missing.code, "acme/topic:live has no rules" in missing.error) == (1, True)


def test_windows_of_an_alias_are_set(store: tuple[str, Path]) -> None:
    flags = ("--long-text", "windows", "--stride", 32, "--merge", "max")
    assert call("rules", "set", "acme/topic", *flags, *store).code == 0
    shown = json.loads(call("rules", "show", "acme/topic", *store).output)
    assert (shown["long_text"], shown["stride"], shown["merge"]) == ("windows", 32, "max")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--long-text", "pages"), "--long-text: Input should be 'truncate' or 'windows'"),
        (("--stride", "8"), '--stride: has no effect without `"long_text": "windows"`'),
        (("--long-text", "truncate", "--merge", "max"), "--merge: has no effect without"),
        ((), "No rule is set"),
        (("--threshold", "good"), "expected LABEL=PROBABILITY"),
        (("--threshold", "good=much"), "expected LABEL=PROBABILITY"),
        (("--threshold", "good=1.5"), "less than or equal to 1"),
        (("--no-abstain", "--min-score", "0.5"), "exclude each other"),
        (("--threshold", "fine=0.5"), 'Unknown label "fine"'),
    ],
)
def test_wrong_rules_are_rejected(
    store: tuple[str, Path], flags: tuple[str, ...], message: str
) -> None:
    refused = call("rules", "set", "acme/topic", *flags, *store)
    assert refused.code != 0
    assert message in " ".join(refused.error.split())
