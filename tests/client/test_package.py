"""The package: what it imports, that it is generated, and that it installs alone."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client"


def test_the_synchronous_client_is_generated_from_the_asynchronous_one() -> None:
    done = subprocess.run(
        [sys.executable, CLIENT / "generate_sync.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_stale_file_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "client" / "polyprefix_client"
    (folder / "_async").mkdir(parents=True)
    (folder / "_sync").mkdir()
    source = "async def f() -> None:\n    await g()\n"
    (folder / "_async" / "one.py").write_text(source)
    script = tmp_path / "client" / "generate_sync.py"
    script.write_text((CLIENT / "generate_sync.py").read_text())
    stale = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert (stale.returncode, "one.py is out of date" in stale.stderr) == (1, True)
    subprocess.run([sys.executable, script], check=True)
    assert (folder / "_sync" / "one.py").read_text().endswith("def f() -> None:\n    g()\n")


def test_importing_it_loads_neither_the_server_nor_a_model_library() -> None:
    script = (
        "import sys, polyprefix_client\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pydantic', 'server', 'prefixes', 'training'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=CLIENT, check=True)


def test_it_installs_alone(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    installed = subprocess.run(
        [python, "-I", "-m", "pip", "install", "--quiet", CLIENT],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode and "No matching distribution" in installed.stderr:
        pytest.skip("no package index can be reached")
    assert installed.returncode == 0, installed.stderr
    script = "import polyprefix_client as p; p.Client('http://x').close(); print(p.__file__)"
    shown = subprocess.run(
        [python, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert str(tmp_path / "venv") in shown.stdout
    listed = subprocess.run(
        [python, "-I", "-m", "pip", "list", "--format=freeze"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "httpx==" in listed.stdout
    assert "torch" not in listed.stdout
