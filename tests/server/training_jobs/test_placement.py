import pytest
import torch

from prefixes.errors import BackboneUnavailable
from server.settings import Settings
from server.training_jobs.placement import Placement

CPU = torch.device("cpu")
GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize(
    ("chosen", "serving", "device", "share"),
    [
        ("auto", CPU, "cpu", None),
        ("auto", GPU, "cuda:0", 0.3),
        ("cuda:0", GPU, "cuda:0", 0.3),
        ("cuda", torch.device("cuda:0"), "cuda:0", 0.3),
        ("cuda:1", GPU, "cuda:1", None),
        ("cuda:1", CPU, "cuda:1", None),
        ("cpu", GPU, "cpu", None),
        ("auto", torch.device("mps"), "mps", None),
    ],
)
def test_memory_is_limited_only_on_the_gpu_that_serves(
    chosen: str, serving: torch.device, device: str, share: float | None
) -> None:
    settings = Settings(training_device=chosen, training_memory_share=0.6, num_trainings=2)
    assert Placement.of(settings, serving) == Placement(device, share)


def test_a_missing_device_is_rejected_with_the_name_of_the_setting() -> None:
    with pytest.raises(BackboneUnavailable, match=r"POLYPREFIX_TRAINING_DEVICE: .*cuda:7"):
        Placement.of(Settings(training_device="cuda:7"), CPU)
