from pathlib import Path

import pytest

from prefixes.registry import open_registry
from server.command_line.exit_codes import ExitCode
from tests.server.command_line.caller import call


def test_no_command_runs_on_the_database_of_another_store_until_it_is_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = tmp_path / "store", tmp_path / "other"
    for place in (folder, other):
        open_registry(place).close()
    monkeypatch.setenv("POLYPREFIX_DATABASE_URL", f"sqlite:///{other / 'registry.db'}")
    flags = ("--store-folder", folder)
    for command in (["serve", "--port", "0"], ["key", "create", "acme"], ["key", "list", "acme"]):
        outcome = call(*command, *flags)
        assert outcome.code == ExitCode.FAILURE
        assert "does not belong to the store" in outcome.error
        assert "polyprefix store adopt" in outcome.error
    adopted = call("store", "adopt", *flags)
    assert adopted.code == ExitCode.SUCCESS
    assert "are paired: 0 prefix files and trainings are in both" in adopted.output
    assert call("key", "create", "acme", *flags).code == ExitCode.SUCCESS
