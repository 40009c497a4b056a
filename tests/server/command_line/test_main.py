import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prefixes.registry import ApiKeys, open_registry
from server.command_line.foreign_packages import ForeignPackage, check_packages
from server.command_line.main import app
from server.hosting.listener import bind
from server.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """`serve` sets up the logging of a whole process, which here goes on."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def run(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command in this process."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_help_is_there_without_loading_a_model_library() -> None:
    script = (
        "import sys\n"
        "from server.command_line.main import main\n"
        "sys.argv = ['polyprefix', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'torch', 'transformers', 'fastapi', 'sqlalchemy', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for command in ("serve", "key", "version", "train", "evaluate", "predict"):
        assert command in done.stdout


def test_every_flag_of_serve_is_a_setting() -> None:
    from typer.main import get_command

    command = get_command(app)
    serve = command.commands["serve"]  # type: ignore[attr-defined]
    names = {parameter.name for parameter in serve.params}
    assert names
    assert names <= set(Settings.model_fields)


def test_a_key_opens_its_tenant_until_it_is_revoked(tmp_path: Path) -> None:
    store = ["--store-folder", str(tmp_path)]
    code, key, _ = run(["key", "create", "acme", "--label", "laptop", *store])
    assert code == 0
    registry = open_registry(tmp_path)
    keys = ApiKeys(registry.database)
    tenant = keys.authenticate(key.strip())
    assert tenant is not None
    assert (tenant.name, tenant.is_public) == ("acme", False)
    key_id = key.split("_")[1]
    _, listed, _ = run(["key", "list", "acme", *store])
    assert key_id in listed
    assert "laptop" in listed
    assert key.strip() not in listed
    assert run(["key", "revoke", key_id, *store])[0] == 0
    assert keys.authenticate(key.strip()) is None
    assert "revoked" in run(["key", "list", "acme", *store])[1]
    registry.close()


def test_a_second_key_leaves_a_public_tenant_public(tmp_path: Path) -> None:
    store = ["--store-folder", str(tmp_path)]
    run(["key", "create", "acme", "--public", *store])
    run(["key", "create", "acme", *store])
    registry = open_registry(tmp_path)
    assert registry.tenant("acme").is_public
    registry.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["key", "create", "No Name"], "tenant name"),
        (["key", "list", "nobody"], "nobody"),
        (["key", "revoke", "0123456789ab"], "0123456789ab"),
        (["serve", "--port", "99999"], "POLYPREFIX_PORT"),
        (["serve", "--examples-folder", "/no/such"], "POLYPREFIX_EXAMPLES_FOLDER"),
        (["serve", "--host", "192.0.2.1"], "Cannot listen on 192.0.2.1"),
        (["serve", "--backbone", "/no/such/folder", "--port", "0"], "/no/such/folder"),
        (["serve", "--quantize", "int8", "--dtype", "bfloat16", "--port", "0"], "quantized"),
    ],
)
def test_an_operators_mistake_is_one_sentence_and_an_exit_code(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    code, _, message = run([*arguments, "--store-folder", str(tmp_path / "store")])
    assert code in {1, 2}
    assert message.startswith("polyprefix: ")
    assert told in message
    assert "Traceback" not in message


def test_a_port_in_use_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, message = run(["serve", "--port", port, "--store-folder", str(tmp_path / "s")])
    assert code == 1
    assert "in use" in message
    assert not (tmp_path / "s").exists()


def test_a_store_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    arguments = ["key", "create", "acme", "--store-folder", str(tmp_path / "file" / "store")]
    code, _, message = run(arguments)
    assert code == 1
    assert str(tmp_path / "file") in message


def test_a_foreign_package_of_one_of_our_names_is_named() -> None:
    check_packages({"server": ["polyprefix"], "numpy": ["numpy"]})
    check_packages({})
    with pytest.raises(ForeignPackage, match=r"'acme-server'.*'server'.*virtual environment"):
        check_packages({"server": ["polyprefix", "acme-server"]})


def test_the_version_is_printed() -> None:
    assert run(["version"])[1].strip()


def test_no_command_runs_on_the_database_of_another_store_until_it_is_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = tmp_path / "store", tmp_path / "other"
    for place in (folder, other):
        open_registry(place).close()
    monkeypatch.setenv("POLYPREFIX_DATABASE_URL", f"sqlite:///{other / 'registry.db'}")
    flags = ["--store-folder", str(folder)]
    for command in (["serve", "--port", "0"], ["key", "create", "acme"], ["key", "list", "acme"]):
        code, _, errors = run([*command, *flags])
        assert code == 1
        assert "does not belong to the store" in errors
        assert "polyprefix store adopt" in errors
    code, output, _ = run(["store", "adopt", *flags])
    assert code == 0
    assert "are paired: 0 prefix files and trainings are in both" in output
    assert run(["key", "create", "acme", *flags])[0] == 0
