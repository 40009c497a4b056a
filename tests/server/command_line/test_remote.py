"""Commands that work on a server: `login`, `prefix`, `predict`, `train`, and those of a store."""

import csv
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyprefix_client.login import Login, login_path, read_login, write_login
from prefixes.backbone import Backbone
from prefixes.registry import UsageLog, open_registry
from prefixes.registry.usage import UsageRow
from server.command_line.login import sends_openly
from tests.factories import make_prefix
from tests.server.command_line.caller import CommandResult, call
from tests.server.hosting.processes import server_process, store
from tests.server.rest import Rest
from tests.server.training_jobs.trainings import QUICK
from tests.training.learnable_tasks import sentiment_rows, write_csv

__all__ = ["store"]

Run = Callable[..., CommandResult]
CLOSED = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _without_a_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("POLYPREFIX_URL", "POLYPREFIX_KEY", "POLYPREFIX_STORE_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def operator(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands on the server with the operator's key, from the environment."""
    return _runner(rest, monkeypatch, "operator")


@pytest.fixture
def acme(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> Run:
    return _runner(rest, monkeypatch, "acme")


def _runner(rest: Rest, monkeypatch: pytest.MonkeyPatch, tenant: str) -> Run:
    def run(*arguments: object) -> CommandResult:
        with monkeypatch.context() as patch:
            patch.setenv("POLYPREFIX_URL", rest.url)
            patch.setenv("POLYPREFIX_KEY", rest.keys[tenant])
            return call(*arguments)

    return run


def done(result: CommandResult) -> str:
    assert result.code == 0, result.error
    return result.output


def read(result: CommandResult) -> Any:
    return json.loads(done(result))


@pytest.fixture
def file(backbone: Backbone, tmp_path: Path) -> Path:
    path = tmp_path / "one.safetensors"
    path.write_bytes(make_prefix(backbone.fingerprint, seed=311).to_bytes())
    return path


def test_a_login_is_checked_kept_private_and_used(rest: Rest) -> None:
    wrong = call("login", rest.url, "--key", "pp_wrong_key")
    assert (wrong.code, read_login()) == (2, None)
    closed = call("login", CLOSED, "--key", "x")
    assert (closed.code, "Check the URL" in closed.error) == (1, True)
    logged_in = call("login", rest.url, "--key", rest.keys["acme"])
    assert f"Logged in to {rest.url}" in done(logged_in)
    assert "Next: polyprefix prefix ls" in logged_in.error
    assert rest.keys["acme"] not in logged_in.output + logged_in.error
    assert stat.S_IMODE(login_path().stat().st_mode) == 0o600
    assert "acme/mood\t" in done(call("prefix", "ls", "acme"))
    assert done(call("prefix", "ls")) == done(call("prefix", "ls", "acme"))
    nothing = call("prefix", "ls", "zoo")
    assert (nothing.output, "no task of zoo" in nothing.error) == ("", True)
    operator = call("prefix", "ls", "--key", rest.keys["operator"])
    assert (operator.code, "Name one" in operator.error) == (2, True)
    assert done(call("logout")) == "Logged out.\n"
    assert done(call("logout")) == "Not logged in.\n"
    assert call("prefix", "ls", "acme", "--url", CLOSED).code == 1


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("http://example.org", True),
        ("HTTP://192.0.2.7:8000/x", True),
        ("http://127.example.org", True),
        ("http://127.0.0.1:8000@example.org", True),
        ("http://localhost.example.org", True),
        ("https://example.org", False),
        ("http://localhost:8000", False),
        ("http://127.8.9.1", False),
        ("http://[::1]:8000", False),
    ],
)
def test_a_key_that_others_can_read_is_warned_of(
    url: str,
    is_open: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert sends_openly(url) is is_open


def test_flags_come_before_variables_the_login_and_the_default(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_login(Login(CLOSED, "pp_wrong"))
    assert call("prefix", "ls", "acme").code == 1
    monkeypatch.setenv("POLYPREFIX_URL", rest.url)
    assert "mood" not in done(call("prefix", "ls", "acme"))  # the key is of another server
    monkeypatch.setenv("POLYPREFIX_KEY", "pp_wrong_key")
    assert call("prefix", "ls", "acme").code == 2
    flags = ("--url", rest.url, "--key", rest.keys["acme"])
    assert "mood" in done(call("prefix", "ls", "acme", *flags))
    monkeypatch.setenv("POLYPREFIX_URL", CLOSED)
    assert "mood" in done(call("prefix", "ls", "acme", *flags))


def test_a_file_is_checked_pushed_promoted_rolled_back_and_pulled(
    acme: Run, file: Path, backbone: Backbone, tmp_path: Path
) -> None:
    checked = acme("prefix", "check", "acme/tour-2", file)
    assert "valid, sequence_classification" in done(checked)
    assert f"Next: polyprefix prefix push acme/tour-2 {file}" in checked.error
    assert "Warning: spec.golden: expected at least one golden example" in checked.error
    (warning,) = read(acme("prefix", "check", "acme/tour-2", file, "--json"))["warnings"]
    assert warning["code"] == "no_golden_examples"
    assert acme("prefix", "show", "acme/tour-2").code == 2
    pushed = acme("prefix", "push", "acme/tour-2", file)
    assert done(pushed) == "acme/tour-2@1\tpublished\n"
    assert "Next: polyprefix prefix promote acme/tour-2:live 1" in pushed.error
    assert "already" in done(acme("prefix", "push", "acme/tour-2", file))
    other = tmp_path / "two.safetensors"
    other.write_bytes(make_prefix(backbone.fingerprint, seed=312).to_bytes())
    second = acme("prefix", "push", "acme/tour-2", other, "--json")
    assert (read(second)["version"], second.error) == (2, "")
    assert "points to version 2" in done(acme("prefix", "promote", "acme/tour-2", 2))
    moved = acme("prefix", "promote", "acme/tour-2:live", 1, "--if-version", 1)
    assert (moved.code, "Alias" in moved.error or "alias" in moved.error) == (2, True)
    assert read(acme("prefix", "rollback", "acme/tour-2", "--json"))["version"] == 1
    lines = done(acme("prefix", "show", "acme/tour-2")).splitlines()
    assert [line.split("\t")[0] for line in lines] == ["1", "2"]
    assert [line.split("\t")[4] for line in lines] == ["live", ""]
    done(acme("prefix", "pull", "acme/tour-2@2", "--output", tmp_path / "copy.safetensors"))
    assert (tmp_path / "copy.safetensors").read_bytes() == other.read_bytes()
    assert "Next: polyprefix prefix restore" in acme("prefix", "delete", "acme/tour-2").error
    assert acme("prefix", "show", "acme/tour-2").code == 2
    done(acme("prefix", "restore", "acme/tour-2"))
    done(acme("prefix", "delete", "acme/tour-2@2", "--permanent"))
    assert len(read(acme("prefix", "show", "acme/tour-2", "--json"))["versions"]) == 1


def test_every_finding_of_a_rejected_file_is_printed(acme: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"not a prefix file")
    rejected = acme("prefix", "push", "acme/tour-2", bad)
    assert rejected.code == 2
    assert "expected" in rejected.error
    assert "found" in rejected.error


def test_a_prefix_is_shared_on_a_server(acme: Run) -> None:
    shared = ["prefix", "share", "acme/pair"]
    assert "Shared acme/pair with zoo." in done(acme(*shared, "zoo"))
    assert read(acme(*shared, "--public", "--json")) == {"is_public": True, "tenants": ["zoo"]}
    assert done(acme("prefix", "readers", "acme/pair")) == "*\nzoo\n"
    done(acme("prefix", "unshare", "acme/pair", "--public"))
    done(acme("prefix", "unshare", "acme/pair", "zoo"))
    assert done(acme("prefix", "readers", "acme/pair")) == ""


def test_a_task_of_a_server_predicts_a_file_of_labeled_rows(
    acme: Run, rest: Rest, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("comment,label\ngood film,good\nbad film,bad\n")
    missing = acme("predict", "acme/mood", rows)
    assert (missing.code, "--text-column" in missing.error) == (2, True)
    lines = done(acme("predict", "acme/mood", rows, "--text-column", "comment")).splitlines()
    expected = rest.call(
        "POST", "/v1/classify", "acme", json={"model": "mood", "input": ["good film", "bad film"]}
    ).json()["results"]
    assert [json.loads(line)["label"] for line in lines] == [one["label"] for one in expected]
    output = tmp_path / "out.jsonl"
    texts = tmp_path / "texts.txt"
    texts.write_text("good film\n")
    done(acme("predict", "acme/mood@1", texts, "--explain", "--output", output, "--json"))
    assert json.loads(output.read_text())["explanation"]["parts"]
    unused = acme("predict", "acme/mood", texts, "--device", "cuda", "--tokens-per-batch", 9)
    assert (unused.code, unused.output) == (2, "")
    assert "does not accept --device, --tokens-per-batch" in unused.error.replace("\n", " ")
    assert acme("predict", "acme/none", texts).code == 2
    assert acme("predict", "acme/mood", tmp_path / "none.txt").code == 2


def test_a_file_is_never_mistaken_for_a_task(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "mood").write_text("")
    named = call("predict", "acme/mood", "rows.csv", "--url", CLOSED)
    assert (named.code, "acme/mood is a file" in named.error) == (2, True)
    missing = call("predict", "acme/mood.safetensors", "rows.csv")
    assert (missing.code, "rows.csv" in missing.error or "mood" in missing.error) == (2, True)


def test_a_variable_selects_the_server_and_a_login_does_not(
    rest: Rest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_login(Login(rest.url, rest.keys["operator"]))
    folder = ("--store-folder", tmp_path / "store")
    done(call("tenant", "create", "here", *folder))
    monkeypatch.setenv("POLYPREFIX_STORE_FOLDER", str(tmp_path / "store"))
    assert done(call("tenant", "list")) == "here\tactive\tprivate\n"
    assert "zoo" in done(call("tenant", "list", "--remote"))
    monkeypatch.setenv("POLYPREFIX_URL", rest.url)
    both = call("tenant", "list")
    assert (both.code, "name two places" in both.error) == (2, True)
    assert "zoo" in done(call("tenant", "list", "--url", rest.url))
    assert "zoo" not in done(call("tenant", "list", *folder))
    monkeypatch.delenv("POLYPREFIX_STORE_FOLDER")
    assert "zoo" in done(call("tenant", "list"))
    contradiction = call("tenant", "list", "--url", rest.url, *folder)
    assert (contradiction.code, "Give only one" in contradiction.error) == (2, True)


def test_tenants_and_keys_of_a_server_are_managed(operator: Run, acme: Run) -> None:
    created = operator("tenant", "create", "distant", "--public")
    assert done(created) == "distant\tactive\tpublic\n"
    assert "Next: polyprefix key create distant" in created.error
    assert not read(operator("tenant", "change", "distant", "--private", "--json"))["is_public"]
    for command, state in {"suspend": "suspended", "resume": "active", "delete": "deleted"}.items():
        assert read(operator("tenant", command, "distant", "--json"))["state"] == state
    key = done(operator("key", "create", "newcomer", "--role", "infer", "--label", "x")).strip()
    key_id = key.split("_")[1]
    assert f"{key_id}\t" in done(operator("key", "list", "newcomer"))
    rotated = read(operator("key", "rotate", key_id, "--tenant", "newcomer", "--json"))
    assert (rotated["role"], rotated["key"].startswith("pp_")) == ("infer", True)
    done(operator("key", "revoke", rotated["id"], "--tenant", "newcomer"))
    states = {
        one["id"]: one["state"] for one in read(operator("key", "list", "newcomer", "--json"))
    }
    assert states[rotated["id"]] == "revoked"
    second = read(operator("key", "create", "--role", "operator", "--json"))
    assert second["tenant"] is None
    done(operator("key", "revoke", second["id"]))
    denied = acme("key", "create", "nobody")
    assert (denied.code, "Tenant not found" in denied.error) == (2, True)
    assert acme("tenant", "list").code == 2


def test_limits_usage_and_audit_of_a_server_are_read_and_set(operator: Run, rest: Rest) -> None:
    operator("tenant", "create", "measured")
    changed = operator("limits", "set", "measured", "--max-prefixes", 3, "--weight", "unlimited")
    assert changed.code == 2
    done(operator("limits", "set", "measured", "--max-prefixes", 3))
    assert "max_prefixes\t3" in done(operator("limits", "show", "measured"))
    shown = read(operator("limits", "set", "measured", "--max-prefixes", "default", "--json"))
    assert shown["limits"] == {}
    key = read(operator("key", "create", "measured", "--json"))["id"]
    done(operator("limits", "set", "measured", "--key", key, "--max-in-flight-texts", 4))
    only = done(operator("limits", "show", "measured", "--key", key))
    assert only.startswith("max_in_flight_texts\t4")
    from datetime import UTC, datetime

    hour = datetime(2026, 11, 29, 9, tzinfo=UTC)
    UsageLog(rest.registry.database).add([UsageRow(hour, "measured", "acme/spam", 7)])
    (row,) = csv.DictReader(done(operator("usage", "--tenant", "measured")).splitlines())
    assert row["requests"] == "7"
    assert json.loads(done(operator("usage", "--tenant", "measured", "--json")))["requests"] == 7
    assert not done(operator("usage", "--tenant", "measured", "--by", "key", "--json"))
    events = done(operator("audit", "--tenant", "measured", "--json")).splitlines()
    assert json.loads(events[-1])["action"] == "tenant.create"


def test_canaries_and_rules_of_a_server_are_managed(
    acme: Run, file: Path, backbone: Backbone, tmp_path: Path
) -> None:
    done(acme("prefix", "push", "acme/bird-2", file))
    other = tmp_path / "two.safetensors"
    other.write_bytes(make_prefix(backbone.fingerprint, seed=313).to_bytes())
    done(acme("prefix", "push", "acme/bird-2", other))
    alias = "acme/bird-2:live"
    started = acme("canary", "set", alias, "--version", 2, "--percent", 5)
    assert done(started) == f"{alias}: version 2 answers 5 % of the callers\n"
    assert f"Next: polyprefix canary promote {alias}" in started.error
    assert read(acme("canary", "show", alias))["percent"] == 5
    done(acme("canary", "cancel", alias))
    assert acme("canary", "show", alias).code == 2
    done(acme("canary", "set", alias, "--version", 2, "--percent", 5, "--json"))
    assert read(acme("canary", "promote", alias, "--json"))["version"] == 2
    done(acme("rules", "set", alias, "--threshold", "good=0.9"))
    assert read(acme("rules", "show", alias)) == {
        "version": 2,
        "thresholds": {"good": 0.9},
        "min_score": None,
        "abstain": None,
        "long_text": None,
        "stride": None,
        "merge": None,
    }
    done(acme("rules", "delete", alias))
    assert acme("rules", "show", alias).code == 2


def test_recorded_answers_of_a_server_are_managed(acme: Run) -> None:
    done(acme("feedback", "set", "acme", "--disable"))  # another test may have enabled it
    assert "is_enabled\tfalse" in done(acme("feedback", "show", "acme"))
    done(acme("feedback", "set", "acme", "--enable", "--retention-days", 3))
    changed = read(acme("feedback", "set", "acme", "--sample-percent", 50, "--json"))
    kept = (changed["is_enabled"], changed["retention_days"], changed["sample_percent"])
    assert kept == (True, 3, 50)
    assert read(acme("feedback", "delete", "acme/mood", "--json")) == {"num_answers": 0}
    done(acme("feedback", "set", "acme", "--disable"))


def test_a_server_trains_and_publishes(
    store: tuple[Path, str], backbone_folder: Path, tmp_path: Path
) -> None:
    folder, key = store
    rows = write_csv(tmp_path / "rows.csv", sentiment_rows(60))
    settings = [f"--set={name}={json.dumps(value)}" for name, value in QUICK.items()]
    with server_process(folder, "--backbone", str(backbone_folder)) as (_, url):
        server = ("--url", url, "--key", key)
        trained = call("train", "acme/mood", "--train", rows, *settings, *server)
        assert done(trained).startswith("acme/mood@1\t")
        assert "succeeded" in trained.error
        assert "Next: polyprefix predict acme/mood:live" in trained.error
        again = call("train", "acme/mood", "--train", rows, *settings, *server, "--json")
        assert (read(again)["result"]["version"], again.error) == (2, "")
        rows.write_text("text,label\nx,\n")
        bad = call("train", "acme/mood", "--train", rows, *server)
        assert (bad.code, "rows.csv" in bad.error or "train.csv" in bad.error) == (2, True)
    registry = open_registry(folder)
    assert len(registry.show("acme", "mood", reader="acme").versions) == 2
    registry.close()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--device", "cpu"), "does not accept --device"),
        (("--publish", CLOSED), "does not accept --publish"),
        (("--start-from", "x.safetensors"), "the setting 'start_from'"),
        (("--sweep", "seed=1,2"), "one task at a time"),
        (("--teacher", "model"), "does not accept the teacher 'model'"),
        (("--train", "none.csv"), "none.csv is not a file"),
    ],
)
def test_flags_without_a_meaning_on_a_server_are_rejected(
    tmp_path: Path, flags: tuple[str, ...], reason: str
) -> None:
    rows = write_csv(tmp_path / "rows.csv", sentiment_rows(12))
    rejected = call("train", "acme/mood", "--train", rows, *flags, "--url", CLOSED)
    assert (rejected.code, reason in rejected.error) == (2, True), rejected.error


def test_a_key_on_standard_input_is_read(
    rest: Rest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import subprocess
    import sys

    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'client'}"}
    logged_in = subprocess.run(
        [sys.executable, "-m", "server", "login", rest.url],
        cwd=tmp_path,
        env=environment,
        input=rest.keys["zoo"] + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert logged_in.returncode == 0, logged_in.stderr
    found = read_login()
    assert found is not None
    assert (found.url, found.key) == (rest.url, rest.keys["zoo"])


def test_the_shell_completes_commands() -> None:
    import subprocess
    import sys

    root = Path(__file__).parents[3]
    completed = subprocess.run(
        [sys.executable, "-m", "server"],
        cwd=root,
        env={
            **os.environ,
            "_POLYPREFIX_COMPLETE": "complete_bash",
            "COMP_WORDS": "polyprefix prefix pro",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.stdout.split() == ["promote"]
