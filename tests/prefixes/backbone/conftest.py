"""Fixtures for tests of prefixes and of the forward pass."""

from pathlib import Path

import pytest

from prefixes.backbone import Backbone, load_backbone
from prefixes.backbone.kernels.names import Kernels
from tests.factories import make_backbone_folder
from tests.kernels import load_with


@pytest.fixture(scope="session")
def roberta_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random RoBERTa with its tokenizer, on disk."""
    return make_backbone_folder(tmp_path_factory.mktemp("roberta") / "tiny-roberta", "roberta")


@pytest.fixture(scope="session")
def roberta(roberta_folder: Path) -> Backbone:
    """The tiny RoBERTa, loaded in float32 on the CPU."""
    return load_backbone(roberta_folder, device="cpu")


@pytest.fixture(scope="session", params=["bert", "roberta"])
def each_backbone(
    request: pytest.FixtureRequest, backbone_folder: Path, roberta_folder: Path, kernels: Kernels
) -> Backbone:
    """Two architectures, with every kernel."""
    folder = backbone_folder if request.param == "bert" else roberta_folder
    return load_with(kernels, folder)
