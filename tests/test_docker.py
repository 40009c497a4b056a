"""The Dockerfile and compose.yaml: valid, pinned, without root, with a read-only file system."""

import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pytest
import yaml
from compose_spec import PyCompose

from server.settings import Settings, variable_of

ROOT: Final = Path(__file__).parents[1]
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
COMPOSE: Final = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (ROOT / "compose.yaml").read_text())
"""The file with the defaults of its variables."""

SERVICES: Final[dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
SETTINGS: Final = {variable_of(name) for name in Settings.model_fields}


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def environment() -> dict[str, str]:
    """The variables that the image sets."""
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(instructions("ENV"))))


def test_the_compose_file_is_valid_and_names_what_it_has() -> None:
    compose = PyCompose.from_yaml(COMPOSE)
    assert sorted(compose.service_names()) == ["grafana", "prometheus", "server"]
    compose.validate()


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("read_only: true", "readonly: true"),
        ("stop_grace_period: 40s", "stop_grace_period: soon"),
        ("cap_drop: [ALL]", "cap_drop: ALL"),
        ("- 127.0.0.1:9090:9090", "- somewhere:9090"),
    ],
)
def test_the_validation_finds_mistakes(part: str, wrong: str) -> None:
    assert part in COMPOSE
    with pytest.raises(ValueError, match=r"services\."):
        PyCompose.from_yaml(COMPOSE.replace(part, wrong, 1))


def test_named_volumes_are_declared_and_used() -> None:
    declared = yaml.safe_load(COMPOSE)
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", ())]
    named = {volume.split(":")[0] for volume in volumes if not volume.startswith("./")}
    assert named == set(declared["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_and_published_on_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert (name == "server") == ("profiles" not in service)
    images = (service["image"], service["image"].partition(":")[2])
    assert images[1] not in {"latest", ""} or name == "server"


def test_folders_of_the_repository_that_services_mount_exist() -> None:
    mounted = [volume for service in SERVICES.values() for volume in service.get("volumes", ())]
    folders = [volume.split(":")[0] for volume in mounted if volume.startswith("./")]
    assert folders
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


def test_the_server_writes_only_where_it_may() -> None:
    server = SERVICES["server"]
    writable = [volume.split(":")[1] for volume in server["volumes"]]
    writable += [mount.split(":")[0] for mount in server["tmpfs"]]
    written = {
        environment()[name] for name in ("POLYPREFIX_STORE_FOLDER", "HF_HOME", "MPLCONFIGDIR")
    }
    for path in map(PurePosixPath, written):
        assert any(path.is_relative_to(folder) for folder in writable), path


def test_the_server_may_drain_before_it_is_killed() -> None:
    seconds = int(SERVICES["server"]["stop_grace_period"].removesuffix("s"))
    assert seconds >= Settings.model_fields["drain_seconds"].default + 4


def test_variables_of_the_image_are_settings() -> None:
    ours = {name for name in environment() if name.startswith("POLYPREFIX_")}
    assert ours
    assert ours <= SETTINGS
    assert set(re.findall(r"POLYPREFIX_[A-Z_]+", COMPOSE)) <= SETTINGS


def test_prometheus_scrapes_the_port_of_the_server() -> None:
    config = mounted("prometheus", "/etc/prometheus/prometheus.yml")
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["server:8000"]}]
    assert job["job_name"] == "polyprefix"  # an alert names the job
    (rules,) = config["rule_files"]
    assert mounted("prometheus", f"/etc/prometheus/{rules}")["groups"]
    assert instructions("EXPOSE") == ["8000"]
    assert SERVICES["server"]["ports"][0].endswith(":8000")


def test_grafana_reads_prometheus() -> None:
    provisioning = "/etc/grafana/provisioning"
    (source,) = mounted("grafana", f"{provisioning}/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = mounted("grafana", f"{provisioning}/dashboards/polyprefix.yml")["providers"]
    folder = provider["options"]["path"]
    assert mounted("grafana", f"{folder}/polyprefix.json")["panels"]


def mounted(service: str, path: str) -> Any:
    """Read a file of the repository at the path at which a service finds it."""
    for volume in SERVICES[service]["volumes"]:
        place, target, *_ = volume.split(":")
        if place.startswith("./") and path.startswith(f"{target}/"):
            return yaml.safe_load((ROOT / place / path.removeprefix(f"{target}/")).read_text())
    raise AssertionError(f"{service} does not find {path}")


def test_every_package_of_the_image_is_pinned() -> None:
    installs = re.findall(r"pip install [^&\n]+", DOCKERFILE)
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in command for command in installs)
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_the_image_has_the_extras_that_settings_and_routes_of_the_server_need() -> None:
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", DOCKERFILE)
    expected = {"minilm", "encryption", "parquet", "tracing", "postgres", "s3"}
    assert set(extras.split(",")) == expected


def test_the_image_runs_without_root() -> None:
    (user,) = instructions("USER")
    assert user not in {"root", "0"}
    assert DOCKERFILE.rindex("USER ") < DOCKERFILE.rindex("ENTRYPOINT")


def test_files_that_the_image_copies_exist_and_are_sent_to_the_builder() -> None:
    sent = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    for line in instructions("COPY"):
        if line.startswith("--from"):
            continue
        for path in line.split()[:-1]:
            assert (ROOT / path).exists()
            assert path in sent


def test_paths_and_arguments_of_the_page_are_those_of_the_image() -> None:
    page = (ROOT / "docs" / "deploy-docker.md").read_text()
    for argument in (line.partition("=")[0] for line in instructions("ARG")):
        assert f"`{argument}`" in page
    for path in re.findall(r'"([^"]+)"', instructions("VOLUME")[0]):
        assert f"| `{path}` |" in page
    variables = set(re.findall(r"\$\{(\w+):-", (ROOT / "compose.yaml").read_text()))
    assert {name for name in variables if f"`{name}`" not in page} == set()
    assert set(re.findall(r"POLYPREFIX_[A-Z_]+", page)) <= SETTINGS
