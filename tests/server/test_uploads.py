import json
import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from prefixes import Finding, Prefix
from prefixes.backbone import Backbone, load_backbone
from server.api.uploads import UploadSlots
from server.errors import Overloaded
from tests.factories import make_backbone_folder, make_prefix, with_golden, with_tensors
from tests.server.conftest import Serve
from tests.server.rest import Rest, until

ROUTE = "/v1/tenants/acme/prefixes/new/versions"


def good(backbone: Backbone) -> bytes:
    return make_prefix(backbone.fingerprint, seed=99).to_bytes()


def rewritten(data: bytes, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> bytes:
    """The file with its tensors and description changed behind the library's back."""
    tensors = safetensors.numpy.load(data)
    size = int.from_bytes(data[:8], "little")
    spec = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["polyprefix"])
    change(tensors, spec)
    return safetensors.numpy.save(tensors, metadata={"polyprefix": json.dumps(spec)})


def nan(tensors: dict[str, Any], spec: dict[str, Any]) -> None:
    tensors["prefix.keys"][0, 0, 0, 0] = np.nan


def double(tensors: dict[str, Any], spec: dict[str, Any]) -> None:
    tensors["prefix.keys"] = tensors["prefix.keys"].astype(np.float64)


def wrong_shape(tensors: dict[str, Any], spec: dict[str, Any]) -> None:
    tensors["prefix.values"] = tensors["prefix.values"][:, :, :-1].copy()


def many_faults(tensors: dict[str, Any], spec: dict[str, Any]) -> None:
    nan(tensors, spec)
    wrong_shape(tensors, spec)
    del tensors["head.output.bias"]
    spec["backbone"]["weights_sha256"] = "0" * 64


def leaves_no_trace(rest: Rest, response: Any, files: set[Path]) -> list[dict[str, str]]:
    assert response.status_code == 422, response.text
    assert rest.files() == files
    assert rest.call("GET", "/v1/tenants/acme/prefixes/new", "acme").status_code == 404
    findings: list[dict[str, str]] = response.json().get("findings", [])
    return findings


@pytest.mark.parametrize(
    ("spoil", "codes"),
    [
        pytest.param(lambda data: data[:-20], {"truncated"}, id="truncated"),
        pytest.param(lambda data: data[:5], {"truncated"}, id="a few bytes"),
        pytest.param(lambda data: b"", {"truncated"}, id="nothing"),
        pytest.param(
            lambda data: (2**40).to_bytes(8, "little") + data[8:], {"header_too_large"}, id="bomb"
        ),
        pytest.param(
            lambda data: pickle.dumps({"weights": [1.0]}, protocol=4), {"pickle"}, id="pickle"
        ),
        pytest.param(lambda data: rewritten(data, nan), {"not_finite"}, id="NaN"),
        pytest.param(lambda data: rewritten(data, double), {"bad_dtype"}, id="float64"),
        pytest.param(lambda data: rewritten(data, wrong_shape), {"bad_shape"}, id="shape"),
        pytest.param(
            lambda data: rewritten(data, many_faults),
            {"not_finite", "bad_shape", "missing_tensor", "backbone_mismatch"},
            id="all findings at once",
        ),
    ],
)
def test_an_invalid_file_is_rejected_with_all_findings(
    rest: Rest, backbone: Backbone, spoil: Callable[[bytes], bytes], codes: set[str]
) -> None:
    files = rest.files()
    response = rest.upload("acme/new", spoil(good(backbone)), by="acme")
    found = {finding["code"] for finding in leaves_no_trace(rest, response, files)}
    # A file cut short may be reported as truncated or as tensors that do not add up.
    assert found == codes or (codes == {"truncated"} and found)
    assert response.json()["code"] == "prefix_rejected"


def test_a_file_for_another_backbone_is_rejected_with_the_differences(
    rest: Rest, tmp_path: Path
) -> None:
    other = load_backbone(make_backbone_folder(tmp_path / "other", seed=7), device="cpu")
    files = rest.files()
    findings = leaves_no_trace(rest, rest.upload("acme/new", good(other), by="acme"), files)
    assert [finding["code"] for finding in findings] == ["backbone_mismatch"]
    assert "weights_sha256" in findings[0]["found"]


def test_huge_numbers_without_golden_examples_are_rejected(rest: Rest, backbone: Backbone) -> None:
    sound = make_prefix(backbone.fingerprint, seed=97)
    weight = np.full_like(sound.tensors["head.output.weight"], 3e38)
    huge = with_tensors(sound, {"head.output.weight": weight})
    response = rest.upload("acme/huge", huge.to_bytes(), by="acme")
    assert response.status_code == 422
    assert [one["code"] for one in response.json()["findings"]] == ["made_up_failed"]


def test_golden_examples_with_other_logits_reject_the_file(rest: Rest, backbone: Backbone) -> None:
    prefix = with_golden(backbone, make_prefix(backbone.fingerprint, seed=98), ("a good film",))
    sound = rest.upload("acme/golden", prefix.to_bytes(), by="acme")
    assert sound.status_code == 201
    broken = with_tensors(prefix, {"prefix.keys": prefix.tensors["prefix.keys"] * 2})
    files = rest.files()
    findings = leaves_no_trace(rest, rest.upload("acme/new", broken.to_bytes(), by="acme"), files)
    assert findings


def test_labels_that_look_the_same_are_rejected(rest: Rest, backbone: Backbone) -> None:
    labels = ("spam", "sp\u200bam", "ham")
    data = make_prefix(backbone.fingerprint, labels=labels).to_bytes()
    before = rest.files()
    response = rest.upload("acme/new", data, by="acme")
    (finding,) = leaves_no_trace(rest, response, before)
    assert (finding["code"], finding["subject"]) == ("same_looking_labels", "spec.labels[1]")


def test_a_dry_run_names_what_is_probably_a_mistake(rest: Rest, backbone: Backbone) -> None:
    data = make_prefix(backbone.fingerprint, labels=("Spam", "spam")).to_bytes()
    response = rest.call(
        "POST",
        "/v1/tenants/acme/prefixes/new/versions?dry_run=true",
        "acme",
        files={"file": ("task.safetensors", data)},
    )
    assert response.status_code == 200
    warnings = [warning["code"] for warning in response.json()["warnings"]]
    assert warnings == ["similar_labels", "no_golden_examples"]


def test_findings_of_the_engine_are_reported(serve: Serve, backbone: Backbone) -> None:
    rest, engine = serve()
    engine.findings = (Finding("golden_differs", "spec.golden[0]", "1.0", "2.0"),)
    findings = leaves_no_trace(
        rest, rest.upload("acme/new", good(backbone), by="acme"), rest.files()
    )
    assert findings == [
        {
            "code": "golden_differs",
            "subject": "spec.golden[0]",
            "expected": "1.0",
            "found": "2.0",
            "hint": "",
        }
    ]


def test_an_upload_over_the_limit_is_rejected_while_it_arrives(serve: Serve) -> None:
    rest, _ = serve(max_upload_mib=1)
    files = rest.files()
    pieces = (b"x" * 2**16 for _ in range(40))
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'

    def chunked() -> Any:
        yield start
        yield from pieces

    response = rest.call("POST", ROUTE, "acme", content=chunked(), headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert rest.files() == files


def test_an_announced_size_over_the_limit_is_rejected_at_once(serve: Serve) -> None:
    rest, _ = serve(max_upload_mib=1)
    head = f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    status, _ = raw(rest, head.encode())
    assert status == 413


def test_the_key_is_checked_before_the_body_is_read(serve: Serve) -> None:
    rest, _ = serve()
    for header, status in (("", 401), ("Authorization: Bearer pp_wrong\r\n", 401)):
        head = f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\n{header}Content-Length: 100000\r\n\r\n"
        assert raw(rest, head.encode())[0] == status


def raw(rest: Rest, request: bytes) -> tuple[int, bytes]:
    """Send bytes and read the first piece of the answer, while the rest of the body is owed."""
    host, port = rest.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request)
        answer = connection.recv(65536)
    return int(answer.split(b" ")[1]), answer


def test_an_aborted_upload_leaves_no_files(serve: Serve) -> None:
    rest, _ = serve()
    files = rest.files()
    host, port = rest.url.removeprefix("http://").split(":")
    head = (
        f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {rest.keys['acme']}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 500000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode() + b"x" * 100_000)
        until(lambda: rest.files() != files)  # the first bytes are staged
    until(lambda: rest.files() == files)
    assert rest.call("GET", "/v1/tenants/acme/prefixes/new", "acme").status_code == 404


def test_uploads_in_flight_are_bounded_per_tenant(serve: Serve, backbone: Backbone) -> None:
    rest, _ = serve()
    files = rest.files()
    with ExitStack() as unfinished:
        for _ in range(4):
            unfinished.enter_context(half_an_upload(rest))
        until(lambda: len(rest.files()) == len(files) + 4)
        refused = rest.upload("acme/new", good(backbone), by="acme")
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        assert refused.headers["retry-after"]
        assert rest.upload("zoo/new", good(backbone), by="zoo").status_code == 201
    until(lambda: rest.upload("acme/new", good(backbone), by="acme").status_code in {200, 201})


@contextmanager
def half_an_upload(rest: Rest) -> Iterator[None]:
    """Begin an upload and say no more."""
    host, port = rest.url.removeprefix("http://").split(":")
    head = (
        f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {rest.keys['acme']}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 500000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode() + b"x" * 1000)
        yield


def part(name: str, content: str = "x", *, filename: str | None = None) -> str:
    file = f'; filename="{filename}"' if filename else ""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n{content}\r\n'


MULTIPART = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("content", "content_type", "message"),
    [
        pytest.param("{}", "application/json", "curl -F", id="not multipart"),
        pytest.param("x", "multipart/form-data", "curl -F", id="no boundary"),
        pytest.param("x", f"multipart/form-data; boundary={'b' * 1000}", "boundary", id="long"),
        pytest.param("garbage", MULTIPART, "damaged", id="garbage"),
        pytest.param("--b--\r\n", MULTIPART, "", id="no parts"),
        pytest.param(part("alias") + "--b--\r\n", MULTIPART, "no `file`", id="no file"),
        pytest.param(part("file", filename="f"), MULTIPART, "ends early", id="cut off"),
        pytest.param(part("fiel") + "--b--\r\n", MULTIPART, "unknown field 'fiel'", id="typo"),
        pytest.param(part("file") * 2 + "--b--\r\n", MULTIPART, "second", id="two files"),
        pytest.param(part("alias", "a" * 500), MULTIPART, "200 bytes", id="long alias"),
        pytest.param("--b\r\n\r\nx\r\n--b--\r\n", MULTIPART, "unknown field", id="no name"),
        pytest.param("", MULTIPART, "ends early", id="empty"),
    ],
)
def test_a_malformed_form_is_rejected(
    rest: Rest, content: str, content_type: str, message: str
) -> None:
    files = rest.files()
    response = rest.call(
        "POST", ROUTE, "acme", content=content, headers={"Content-Type": content_type}
    )
    leaves_no_trace(rest, response, files)
    problem = response.json()
    assert problem["code"] == "bad_upload"
    assert message in problem["detail"]


@pytest.mark.parametrize(
    ("task", "alias"), [("Bad!", None), ("new", "Bad!"), ("new", "7"), ("new", "\udcff")]
)
def test_invalid_names_are_rejected(
    rest: Rest, backbone: Backbone, task: str, alias: str | None
) -> None:
    files = rest.files()
    content = part("alias", alias or "") if alias else ""
    body = content.encode("utf-8", "surrogateescape") + (
        part("file", "@@", filename="f").encode().replace(b"@@", good(backbone)) + b"--b--\r\n"
    )
    response = rest.call(
        "POST",
        ROUTE.replace("new", task),
        "acme",
        content=body,
        headers={"Content-Type": MULTIPART},
    )
    leaves_no_trace(rest, response, files)
    assert response.json()["code"] == "invalid_name"


def test_an_overloaded_engine_rejects_an_upload_for_now(serve: Serve, backbone: Backbone) -> None:
    rest, engine = serve()

    async def full(prefix: Prefix, digest: str) -> tuple[Finding, ...]:
        raise Overloaded("Full: come back later", retry_after_seconds=3)

    engine.replay = full  # type: ignore[method-assign]
    files = rest.files()
    response = rest.upload("acme/new", good(backbone), by="acme")
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")
    assert rest.files() == files


def test_a_file_in_small_pieces_arrives_completely(rest: Rest, backbone: Backbone) -> None:
    data = good(backbone)
    body = part("file", "@@", filename="f").encode().replace(b"@@", data) + b"--b--\r\n"

    def one_by_one() -> Any:
        for start in range(0, len(body), 37):
            yield body[start : start + 37]

    response = rest.call(
        "POST",
        ROUTE.replace("new", "pieces"),
        "acme",
        content=one_by_one(),
        headers={"Content-Type": MULTIPART},
    )
    assert response.status_code == 201
    path = ROUTE.replace("new", "pieces") + "/1/file"
    assert rest.call("GET", path, "acme").content == data


def test_uploads_of_four_tenants_leave_slots_for_a_fifth() -> None:
    slots = UploadSlots()
    with ExitStack() as taken:
        for tenant in ("one", "two", "three", "four") * 4:
            taken.enter_context(slots.take(tenant))
        with pytest.raises(Overloaded):
            taken.enter_context(slots.take("one"))
        taken.enter_context(slots.take("five"))
