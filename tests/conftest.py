"""Fixtures that every folder of tests may use."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from prefixes.backbone import Backbone, load_backbone
from prefixes.backbone.kernels.names import TORCH, Kernels
from tests.factories import make_backbone_folder
from tests.kernels import ATTENTION_KERNELS, KERNELS, LINEAR_KERNELS, load_compiled_attention
from tests.postgresql import PostgresServer, start_postgresql
from tests.seaweedfs import SeaweedServer, credentials, start_seaweedfs

settings.register_profile("polyprefix", deadline=None)  # a busy machine is not a failure
settings.register_profile("fuzz", deadline=None, max_examples=5000)  # of `make fuzz`
settings.load_profile("polyprefix")

_MEMORY_DISK: Final = Path("/dev/shm")
_MIN_FREE_BYTES: Final = 4 * 2**30


def pytest_configure() -> None:
    """Keep the files of tests in memory where there is room.

    Databases and stores wait for the disk after each change. On a busy disk, tests of the REST API
    took twice as long. A folder that the user has selected stays as it is.
    """
    if {"PYTEST_DEBUG_TEMPROOT", "TMPDIR"} & os.environ.keys() or not _MEMORY_DISK.is_dir():
        return
    disk = os.statvfs(_MEMORY_DISK)
    has_room = disk.f_bavail * disk.f_frsize >= _MIN_FREE_BYTES
    may_run_programs = not disk.f_flag & os.ST_NOEXEC
    if has_room and may_run_programs and os.access(_MEMORY_DISK, os.W_OK):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY_DISK)


def pytest_collection_finish() -> None:
    """Exclude the tests and the libraries from garbage collection.

    They are more than a million objects. Collections that visited them took a sixth of the CPU time
    of tests that start a server in this process.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _trainings_do_not_give_way() -> Iterator[None]:
    """Let the trainings of test servers go on while other tests use all cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYPREFIX_TRAINING_NICENESS", "0")
        yield


@pytest.fixture(scope="session")
def backbone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT with its tokenizer, on disk."""
    return make_backbone_folder(tmp_path_factory.mktemp("backbone") / "tiny-bert")


@pytest.fixture(scope="session", params=LINEAR_KERNELS)
def linear_kernel(request: pytest.FixtureRequest) -> str:
    """Each kernel for linear layers that runs on this machine."""
    return str(request.param)


@pytest.fixture(scope="session", params=ATTENTION_KERNELS)
def attention_kernel(request: pytest.FixtureRequest) -> str:
    """Each attention kernel."""
    if request.param != TORCH:
        load_compiled_attention()
    return str(request.param)


@pytest.fixture(scope="session", params=KERNELS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """All combinations of kernels."""
    assert isinstance(request.param, Kernels)
    if request.param.attention != TORCH:
        load_compiled_attention()
    return request.param


@pytest.fixture(scope="session")
def backbone(backbone_folder: Path) -> Backbone:
    """The tiny BERT, loaded in float32 on the CPU."""
    return load_backbone(backbone_folder, device="cpu")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """A running PostgreSQL. Tests that stop it start one of their own."""
    server = start_postgresql()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedServer]:
    """A running S3 service, and its credentials. Tests that stop it start one of their own."""
    server = start_seaweedfs()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in credentials().items():
            patch.setenv(name, value)
        yield server
    server.remove()
