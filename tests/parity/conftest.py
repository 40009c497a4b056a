"""Backbones that parity is shown on."""

from pathlib import Path

import pytest

from prefixes.backbone import Backbone, load_backbone
from tests.factories import make_backbone_folder


@pytest.fixture(scope="session", params=["bert", "roberta"])
def parity_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random backbone of each architecture, on disk."""
    folder = tmp_path_factory.mktemp("parity") / request.param
    return make_backbone_folder(folder, request.param, seed=3)


@pytest.fixture(scope="session")
def parity_backbone(parity_folder: Path) -> Backbone:
    """The same, loaded in float32 on the CPU."""
    return load_backbone(parity_folder, device="cpu")
