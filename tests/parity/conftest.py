"""Backbones and golden cases for the parity tests."""

from pathlib import Path

import pytest

from prefixes.backbone import Backbone, load_backbone
from tests.factories import make_backbone_folder
from tests.parity.golden import FOLDERS, GoldenCase, load_case


@pytest.fixture(scope="session", params=["bert", "roberta"])
def parity_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random backbone of each architecture, on disk."""
    folder = tmp_path_factory.mktemp("parity") / request.param
    return make_backbone_folder(folder, request.param, seed=3)


@pytest.fixture(scope="session")
def parity_backbone(parity_folder: Path, linear_kernel: str) -> Backbone:
    """The same, loaded in float32 on the CPU, with each kernel for linear layers."""
    return load_backbone(parity_folder, device="cpu", linear_kernel=linear_kernel)


@pytest.fixture(scope="module", params=sorted(FOLDERS))
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, linear_kernel: str
) -> GoldenCase:
    """A model of the original P-tuning v2 code, and what that code computed with it."""
    return load_case(request.param, tmp_path_factory.mktemp("golden"), linear_kernel)
