"""Compiling and finding the attention: what fits is loaded, and a failure is only reported."""

import logging
import platform
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prefixes.backbone.native import __main__, build, library
from tests.kernels import load_compiled_attention, needs_compiler


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the sources, without a library."""
    for path in library.FOLDER.iterdir():
        if path.suffix in {".cpp", ".h", ".py"}:
            shutil.copy(path, tmp_path)
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    library.is_compiled.cache_clear()
    yield tmp_path
    library.is_compiled.cache_clear()


def libraries_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".so")


@pytest.fixture
def compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that writes its arguments instead of code."""
    path = folder / "compiler"
    path.write_text('#!/bin/sh\nfor last; do :; done; echo "$@" > "$last"\n')
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return path


def test_the_command_compiles_once_and_says_so(
    folder: Path, compiler: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    __main__.main()
    expected = library.library_path()
    written = expected.read_text()
    expected.write_text("kept")
    __main__.main()

    assert libraries_in(folder) == [expected.name]
    assert "-shared" in written
    assert expected.read_text() == "kept"
    for line in capsys.readouterr().out.splitlines():
        assert line.startswith(f"compiled kernels: {expected.name} is ready")


def test_no_file_is_compiled_for_this_machine_alone(folder: Path, compiler: Path) -> None:
    compiler.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/calls\nfor last; do :; done; : > "$last"\n'
    )

    build.build()

    calls = (folder / "calls").read_text().splitlines()
    assert all(word not in call for call in calls for word in ("-march=native", "-ffast-math"))
    baseline = next(call for call in calls if "=baseline" in call)
    assert not any(word.startswith("-m") for word in baseline.split())


@pytest.mark.skipif(platform.machine() != "x86_64", reason="instructions of x86-64")
@pytest.mark.parametrize("has_flag", [True, False])
def test_a_compiler_that_lacks_a_flag_makes_the_other_kernels(
    folder: Path, compiler: Path, *, has_flag: bool
) -> None:
    lines = [f'echo "$@" >> {folder}/calls', 'for last; do :; done; [ "$last" = /dev/null ]']
    rejects = 'case "$*" in *-mavx512bf16*) exit 1;; esac'
    script = "\n".join(["#!/bin/sh", *([] if has_flag else [rejects]), *lines])
    compiler.write_text(script + ' || : > "$last"\n')

    build.build()

    calls = (folder / "calls").read_text().splitlines()
    named = {word for call in calls for word in call.split() if word.startswith("-D")}
    own = {"-DPOLYPREFIX_KERNEL=avx512bf16", "-DPOLYPREFIX_HAS_AVX512BF16"}
    assert named & own == (own if has_flag else set())
    assert "-DPOLYPREFIX_KERNEL=avx512" in named


def test_other_sources_make_another_file_and_the_outdated_one_goes(
    folder: Path, compiler: Path
) -> None:
    first = build.build()
    (folder / "kernel.cpp").write_text("// changed")
    of_other_torch = folder / "kernels-torch1.0-x86_64-012345678901.so"
    of_other_torch.touch()

    second = build.build()

    assert second != first
    assert libraries_in(folder) == sorted([second.name, of_other_torch.name])


def test_processes_may_compile_at_the_same_time(folder: Path, compiler: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        paths = list(threads.map(lambda _: build.build(), range(4)))

    assert libraries_in(folder) == [paths[0].name]
    assert not list(folder.glob(".build-*"))


def test_on_other_systems_than_linux_nothing_is_compiled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")

    __main__.main()

    assert "not available, because they are compiled on Linux only" in capsys.readouterr().out
    assert libraries_in(folder) == []


def test_without_a_compiler_the_command_says_what_is_lost_and_succeeds(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "find_compiler", lambda: None)

    __main__.main()

    assert "not available, because no C++ compiler was found" in capsys.readouterr().out
    assert libraries_in(folder) == []


def test_a_compiler_that_fails_is_reported_with_its_first_error(
    folder: Path, compiler: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiler.write_text('#!/bin/sh\necho "kernel.cpp:7: error: no such thing" >&2\nexit 1\n')

    __main__.main()

    assert "kernel.cpp:7: error: no such thing" in capsys.readouterr().out
    assert libraries_in(folder) == []


def test_a_missing_library_is_logged_with_the_command_that_makes_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = folder / "kernels-torch1.0-x86_64-012345678901.so"
    other.write_text("not a library")
    with caplog.at_level(logging.INFO):
        assert not library.is_compiled()

    assert f"ignored {other.name}" in caplog.text
    assert "run python -m prefixes.backbone.native" in caplog.text


def test_a_damaged_library_is_not_used(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    library.library_path().write_text("not a library")

    assert not library.is_compiled()
    assert "cannot be loaded" in caplog.text


@needs_compiler
def test_the_library_has_vectors_of_512_bits_for_processors_that_have_them() -> None:
    load_compiled_attention()
    if shutil.which("objdump") is None or platform.machine() != "x86_64":
        pytest.skip("needs objdump and x86-64")

    code = subprocess.check_output(["objdump", "--disassemble", library.library_path()], text=True)

    assert "zmm" in code
    assert "ymm" in code
