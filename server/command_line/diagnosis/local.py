"""All checks of a server's settings, in the order in which a server would fail."""

from collections.abc import Iterator, Sequence
from importlib.metadata import packages_distributions

from transformers.utils import logging as transformers_logging

from prefixes.backbone import load_backbone
from prefixes.backbone.kernels.names import TORCH
from prefixes.errors import PrefixError, StoreUnavailable
from prefixes.fingerprint import BackboneFingerprint
from server.command_line.diagnosis.buckets import check_bucket
from server.command_line.diagnosis.machine import (
    check_device,
    check_distributions,
    check_kernels,
    check_port,
)
from server.command_line.diagnosis.results import CheckResult, State, ok, problem, skipped
from server.command_line.diagnosis.stores import (
    check_database,
    check_disk,
    check_folder,
    check_prefixes,
)
from server.command_line.store_folder import open_store
from server.settings import Settings


def check_machine(settings: Settings) -> Iterator[CheckResult]:
    """Check whether `polyprefix serve` would start with these settings, and serve its prefixes."""
    yield check_distributions(packages_distributions())
    scheme = "https" if settings.tls_certificate else "http"
    yield check_port(settings.host, settings.port, scheme=scheme)
    yield check_folder(settings.store_folder)
    yield check_disk(settings.store_folder)
    if settings.bucket is not None:
        yield check_bucket(settings.bucket, settings.store_folder)
    database = check_database(settings.store_folder, settings.database_address)
    yield database
    yield check_device(settings.device)
    yield check_kernels()
    backbones: list[BackboneFingerprint | None] = []
    for source in (settings.backbone, *(one.source for one in settings.ray_backbone_list)):
        result, backbone = _check_backbone(source)
        backbones.append(backbone)
        yield result
    yield _check_prefixes(settings, database, backbones)


def _check_backbone(source: str) -> tuple[CheckResult, BackboneFingerprint | None]:
    """Load the backbone on the CPU, without measuring kernels."""
    transformers_logging.disable_progress_bar()
    try:
        backbone = load_backbone(
            source, device="cpu", dtype="float32", linear_kernel=TORCH, attention_kernel=TORCH
        )
    except PrefixError as error:
        return _unusable(error), None
    facts = backbone.fingerprint
    shape = f"{facts.num_layers} layers, hidden size {facts.hidden_size}"
    return ok("backbone", f"{facts.name}: {facts.model_type}, {shape}"), facts


def _unusable(error: PrefixError) -> CheckResult:
    cure = (
        "Set POLYPREFIX_BACKBONE or --backbone to `minilm`, to the folder of a model, or to an id "
        "on a hub that this machine can reach."
    )
    return problem("backbone", f"{error}.", cure)


def _check_prefixes(
    settings: Settings,
    database: CheckResult,
    backbones: Sequence[BackboneFingerprint | None],
) -> CheckResult:
    loaded = [backbone for backbone in backbones if backbone is not None]
    if len(loaded) < len(backbones):
        return skipped("prefixes", "a backbone could not be loaded")
    # Opening a store creates or upgrades its database, and a check changes nothing.
    if database.state is not State.OK or "revision" not in database.found:
        return skipped("prefixes", "the database does not exist, or is not up to date")
    try:
        with open_store(settings) as registry:
            return check_prefixes(registry, loaded)
    except StoreUnavailable as error:
        return problem("prefixes", f"{error}.", "Check the store folder and the database URL.")
