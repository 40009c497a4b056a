import json
from pathlib import Path

import pytest

from prefixes.registry import open_registry
from tests.prefixes.publishing import publish
from tests.server.command_line.caller import call


@pytest.fixture
def store(tmp_path: Path) -> tuple[str, Path]:
    """A store with three versions of acme/topic; live points to the first."""
    registry = open_registry(tmp_path)
    registry.ensure_tenant("acme")
    for text in ("a", "b", "c"):
        publish(registry, "acme", "topic", text)
    registry.close()
    return ("--store-folder", tmp_path)


def test_a_canary_is_set_shown_promoted_and_canceled(store: tuple[str, Path]) -> None:
    share = ("--version", 2, "--percent", 12.5)
    done = call("canary", "set", "acme/topic", *share, *store)
    assert done.output == "acme/topic: version 2 answers 12.5 % of the callers\n"
    shown = json.loads(call("canary", "show", "acme/topic:live", *store).output)
    assert (shown["version"], shown["percent"]) == (2, 12.5)
    assert shown["started_by"] == "command line"
    assert (shown["shadow_percent"], shown["max_error_percent"]) == (0, None)
    bounds = ("--shadow-percent", 10, "--max-error-percent", 2, "--min-samples", 500)
    call("canary", "set", "acme/topic", *share, *bounds, *store)
    shown = json.loads(call("canary", "show", "acme/topic", *store).output)
    assert (shown["shadow_percent"], shown["max_error_percent"]) == (10, 2)
    assert (shown["max_disagreement_percent"], shown["min_samples"]) == (None, 500)
    promoted = call("canary", "promote", "acme/topic", *store)
    assert promoted.output == "acme/topic: points to version 2\n"
    call("canary", "set", "acme/topic", "--version", 3, "--percent", 1, *store)
    assert call("canary", "cancel", "acme/topic", *store).code == 0
    missing = call("canary", "show", "acme/topic", *store)
    assert (missing.code, "acme/topic:live has no canary" in missing.error) == (1, True)


def test_a_version_has_no_canary(store: tuple[str, Path]) -> None:
    refused = call("canary", "show", "acme/topic@2", *store)
    assert refused.code == 2
    assert "acme/topic@2 is a version and not an alias" in refused.error
