"""Backbones and golden cases for the parity tests."""

from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from prefixes.backbone.kernels.names import Kernels
from tests.factories import make_backbone_folder
from tests.kernels import load_with
from tests.parity.golden import FOLDERS, GoldenCase, load_case


@pytest.fixture(scope="session", params=["bert", "roberta"])
def parity_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random backbone of each architecture, on disk."""
    folder = tmp_path_factory.mktemp("parity") / request.param
    return make_backbone_folder(folder, request.param, seed=3)


@pytest.fixture(scope="session")
def parity_backbone(parity_folder: Path, kernels: Kernels) -> Backbone:
    """The same, loaded in float32 on the CPU, with every kernel."""
    return load_with(kernels, parity_folder)


@pytest.fixture(scope="module", params=sorted(FOLDERS))
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kernels: Kernels
) -> GoldenCase:
    """A model of the original P-tuning v2 code, and what that code computed with it."""
    return load_case(request.param, tmp_path_factory.mktemp("golden"), kernels)
