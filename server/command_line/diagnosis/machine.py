"""Checks of this machine: packages, port, device and compiled kernels."""

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import torch

from prefixes.backbone.loading import find_device
from prefixes.backbone.native.library import COMMAND, is_compiled
from prefixes.errors import BackboneUnavailable
from server.command_line.diagnosis.results import CheckResult, ok, problem, warning
from server.command_line.diagnosis.servers import version_of
from server.command_line.foreign_packages import ForeignPackage, check_packages
from server.errors import AddressUnavailable
from server.hosting.listener import bind

PCI_DEVICES: Final = Path("/sys/bus/pci/devices")
NVIDIA_DRIVER: Final = Path("/proc/driver/nvidia/version")

_NVIDIA: Final = "0x10de"
_DISPLAY: Final = "0x03"
"""The class of graphics cards and 3D accelerators begins with it."""

_TIMEOUT: Final = 2.0


def check_distributions(owners: Mapping[str, Sequence[str]]) -> CheckResult:
    """Check that no other distribution has a package of one of our names.

    Args:
        owners: distributions by top-level package, as `packages_distributions()` returns them.
    """
    try:
        check_packages(owners)
    except ForeignPackage as error:
        found, _, cure = str(error).partition(". ")
        return problem("packages", f"{found}.", cure)
    return ok("packages", f"Python {platform.python_version()}, torch {torch.__version__}")


def check_port(host: str, port: int, *, scheme: str = "http") -> CheckResult:
    """Check that a server could listen on an address."""
    address = f"{host} port {port}"
    try:
        bind(host, port).close()
    except AddressUnavailable as error:
        found, _, cure = str(error).partition(". ")
        version = _version_at(f"{scheme}://{host}:{port}/")
        if version is None:
            return problem("port", f"{found}.", cure)
        return warning(
            "port",
            f"polyprefix {version} already listens on {address}.",
            "Use that server, stop it, or choose another address with --host and --port.",
        )
    return ok("port", f"{address} is free")


def _version_at(url: str) -> str | None:
    """Return the version of the polyprefix server at a URL; None if there is no such server."""
    with suppress(httpx.HTTPError):
        return version_of(httpx.get(url, timeout=_TIMEOUT, verify=False))  # noqa: S501 - no secret is sent
    return None


def check_device(device: str, *, devices: Path = PCI_DEVICES) -> CheckResult:
    """Check that the device exists, and that `auto` does not miss a graphics card.

    Args:
        device: the setting, such as `auto` or `cuda:1`.
        devices: the folder in which Linux lists the PCI devices.
    """
    try:
        found = find_device(device)
    except BackboneUnavailable as error:
        cure = _cure_without_gpu() if device.startswith("cuda") else "Use `auto` or `cpu`."
        return problem("device", f"{error}.", cure)
    if device == "auto" and found.type == "cpu" and _has_nvidia_card(devices):
        return warning(
            "device", "This machine has an NVIDIA GPU that torch cannot use.", _cure_without_gpu()
        )
    name = torch.cuda.get_device_name(found) if found.type == "cuda" else platform.machine()
    return ok("device", f"{found} ({name}), {torch.get_num_threads()} CPU threads")


def _cure_without_gpu() -> str:
    """Say what is missing to use an NVIDIA GPU. The driver comes first: torch needs it."""
    if not NVIDIA_DRIVER.exists():
        return (
            "Install the NVIDIA driver, and in a container pass the GPU on (`--gpus all`). To use "
            "the CPU, set `POLYPREFIX_DEVICE=cpu`."
        )
    if torch.version.cuda is None:
        return (
            f"Install a build of torch for CUDA: {torch.__version__} is a build for CPUs. To use "
            "the CPU, set `POLYPREFIX_DEVICE=cpu`."
        )
    return "Compare the driver's version with the CUDA version of torch: run `nvidia-smi`."


def _has_nvidia_card(devices: Path) -> bool:
    with suppress(OSError):
        return any(_is_nvidia_card(device) for device in devices.iterdir())
    return False


def _is_nvidia_card(device: Path) -> bool:
    with suppress(OSError):
        vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        return vendor == _NVIDIA and kind.startswith(_DISPLAY)
    return False


def check_kernels() -> CheckResult:
    """Check that the compiled kernels for CPUs can be loaded. The server also runs without."""
    if is_compiled():
        return ok("kernels", "the compiled kernels are ready")
    return warning(
        "kernels",
        "The compiled kernels are not installed. On a CPU, attention and vectors are slower "
        "without them.",
        f"Install a C++ compiler, such as g++, and run `{COMMAND}`.",
    )
