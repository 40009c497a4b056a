"""The environments of peers: which packages are uninstalled again."""

from bench.environments import unwanted_packages


def test_packages_that_break_a_peer_are_named_in_a_comment() -> None:
    requirements = ["torch==2.13.0", "# Some reason.", "# without: torchvision torchaudio"]
    assert unwanted_packages(requirements) == ["torchvision", "torchaudio"]
    assert unwanted_packages(["torch==2.13.0"]) == []
