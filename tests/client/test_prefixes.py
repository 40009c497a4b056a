"""Managing prefixes, aliases and trainings with the client, against a real server."""

from pathlib import Path

import pytest

from polyprefix_client import Client, Conflict, InvalidName, NotFound, PrefixRejected
from polyprefix_client.errors import PreconditionFailed
from prefixes.backbone import Backbone
from tests.client.conftest import ClientOf
from tests.factories import make_prefix
from tests.server.rest import Rest


@pytest.fixture
def file(backbone: Backbone, tmp_path: Path) -> Path:
    """A file that no other test has published."""
    path = tmp_path / "prefix.safetensors"
    path.write_bytes(make_prefix(backbone.fingerprint, seed=hash(tmp_path) % 10_000).to_bytes())
    return path


def test_a_file_is_checked_uploaded_promoted_rolled_back_and_downloaded(
    acme: Client, file: Path, backbone: Backbone, tmp_path: Path
) -> None:
    checked = acme.prefixes.check("acme/tour", file)
    assert checked.size_bytes == file.stat().st_size
    assert "acme/tour" not in {one.name for one in acme.prefixes.list("acme")}
    first = acme.prefixes.upload("acme/tour", file)
    assert (first.ref, first.is_new, first.digest) == ("acme/tour@1", True, checked.digest)
    assert not acme.prefixes.upload("acme/tour", file).is_new
    other = make_prefix(backbone.fingerprint, seed=77).to_bytes()
    assert acme.prefixes.upload("acme/tour", other, alias="next").version == 2
    assert acme.prefixes.promote("acme/tour", 2, if_version=1).version == 2
    with pytest.raises(PreconditionFailed):
        acme.prefixes.promote("acme/tour:live", 1, if_version=1)
    with pytest.raises(PreconditionFailed):
        acme.prefixes.promote("acme/tour:live", 1, if_new=True)
    assert acme.prefixes.rollback("acme/tour").ref == "acme/tour@1"
    shown = acme.prefixes.show("acme/tour")
    assert {one.name: one.version for one in shown.aliases} == {"live": 1, "next": 2}
    assert acme.prefixes.version("acme/tour:next").version == 2
    copy = tmp_path / "copy.safetensors"
    assert acme.prefixes.download("acme/tour", copy) == file.read_bytes() == copy.read_bytes()
    with pytest.raises(NotFound, match="acme/tour has no alias 'none'") as missing:
        acme.prefixes.download("acme/tour:none")
    assert missing.value.code == "prefix_not_found"
    with pytest.raises(Conflict):
        acme.prefixes.delete("acme/tour@1")
    acme.prefixes.delete("acme/tour")
    assert "tour" in {one.task for one in acme.prefixes.deleted("acme").prefixes}
    acme.prefixes.restore("acme/tour")
    assert acme.prefixes.show("acme/tour").versions[0].digest == first.digest


def test_a_rejected_file_has_typed_findings(acme: Client, file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-4:] = b"\xff\xff\xff\x7f"  # not a number
    with pytest.raises(PrefixRejected) as rejected:
        acme.prefixes.check("acme/tour", bytes(data))
    assert rejected.value.findings
    finding = rejected.value.findings[0]
    assert finding.code
    assert f"{finding.subject}: expected" in str(rejected.value)


def test_a_prefix_is_shared_and_retained(acme: Client, client_of: ClientOf, file: Path) -> None:
    acme.prefixes.upload("acme/shared", file)
    zoo = client_of("zoo")
    with pytest.raises(NotFound):
        zoo.prefixes.show("acme/shared")
    acme.prefixes.share("acme/shared", "zoo")
    acme.prefixes.share("acme/shared", None)
    readers = acme.prefixes.readers("acme/shared")
    assert (readers.is_public, readers.tenants) == (True, ("zoo",))
    assert zoo.prefixes.show("acme/shared").task == "shared"
    acme.prefixes.unshare("acme/shared", None)
    acme.prefixes.unshare("acme/shared", "zoo")
    assert acme.prefixes.readers("acme/shared").tenants == ()
    assert acme.prefixes.set_retention("acme/shared", keep_versions=3).keep_versions == 3
    assert acme.prefixes.retention("acme/shared").keep_days is None


def test_canaries_and_rules_belong_to_aliases(acme: Client, file: Path, backbone: Backbone) -> None:
    acme.prefixes.upload("acme/bird", file)
    other = make_prefix(backbone.fingerprint, seed=78).to_bytes()
    acme.prefixes.upload("acme/bird", other)
    canary = acme.canaries.set("acme/bird", version=2, percent=5, if_new=True)
    assert acme.canaries.show("acme/bird:live") == canary
    with pytest.raises(PreconditionFailed):
        acme.canaries.set("acme/bird", version=2, percent=9, if_etag="999")
    assert acme.canaries.set("acme/bird", version=2, percent=9, if_etag=canary.etag).percent == 9
    assert acme.canaries.report("acme/bird").compared == 0
    acme.canaries.cancel("acme/bird")
    acme.canaries.set("acme/bird", version=2, percent=100)
    assert acme.canaries.promote("acme/bird").version == 2
    rules = acme.rules.set("acme/bird", thresholds={"good": 0.9})
    assert (rules.version, rules.thresholds) == (2, {"good": 0.9})
    assert acme.rules.show("acme/bird") == rules
    acme.rules.delete("acme/bird", if_etag=rules.etag)
    with pytest.raises(NotFound):
        acme.rules.show("acme/bird")


@pytest.mark.parametrize("name", ["spam", "acme/", "/spam", "acme/spam@", "acme/spam@x", "a/b/c"])
def test_an_invalid_name_is_rejected_before_anything_is_sent(name: str) -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(InvalidName):
        client.prefixes.version(name)


def test_names_of_another_form_are_rejected(acme: Client) -> None:
    with pytest.raises(InvalidName, match="Write acme/spam"):
        acme.prefixes.show("acme/spam@1")
    with pytest.raises(InvalidName, match="expected an alias"):
        acme.prefixes.rollback("acme/spam@1")


def test_models_and_status_are_listed(rest: Rest, acme: Client) -> None:
    models = {model.id: model.task_type for model in acme.models()}
    assert models["examples/vectors:live"] == "embedding"
    assert acme.status().name == "polyprefix"
    assert acme.request("GET", "/v1/tenants/acme/webhooks") == {"webhooks": []}
    assert acme.connection.url == rest.url
