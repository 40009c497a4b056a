"""Fixtures that every folder of tests may use."""

from pathlib import Path

import pytest
from hypothesis import settings

from prefixes.backbone import Backbone, load_backbone
from tests.factories import make_backbone_folder
from tests.kernels import LINEAR_KERNELS

settings.register_profile("polyprefix", deadline=None)  # a busy machine is not a failure
settings.load_profile("polyprefix")


@pytest.fixture(scope="session")
def backbone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT with its tokenizer, on disk."""
    return make_backbone_folder(tmp_path_factory.mktemp("backbone") / "tiny-bert")


@pytest.fixture(scope="session", params=LINEAR_KERNELS)
def linear_kernel(request: pytest.FixtureRequest) -> str:
    """Each kernel for linear layers that runs on this machine."""
    return str(request.param)


@pytest.fixture(scope="session")
def backbone(backbone_folder: Path) -> Backbone:
    """The tiny BERT, loaded in float32 on the CPU."""
    return load_backbone(backbone_folder, device="cpu")
