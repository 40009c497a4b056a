"""The commands `import` and `export`."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prefixes import HeadSpec, Prefix
from prefixes.backbone import Backbone, load_backbone
from server.command_line.exit_codes import ExitCode
from server.command_line.main import app
from tests.factories import make_backbone_folder, make_prefix
from tests.full_disk import FULL, small_disk
from tests.prefixes.interop.checkpoints import make_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_backbone_folder(tmp_path_factory.mktemp("interchange") / "bert", seed=5)


@pytest.fixture(scope="module")
def bert(folder: Path) -> Backbone:
    return load_backbone(folder, device="cpu")


def run(*arguments: object) -> tuple[int, str]:
    """Return the exit code and the output of a command."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_an_import_writes_a_file_and_a_report(folder: Path, bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert).write(tmp_path / "checkpoint")
    file = tmp_path / "task.safetensors"
    wished = ("--labels", "poor,great", "--max-length", 50, "--template", "{review}")

    code, said = run(
        *("import", "ptuning-v2", checkpoint, "--backbone", folder, "--output", file),
        *("--task", "acme/reviews", "--example", "a good film", *wished),
        *("--example", '{"review": "a bad plot"}'),
    )

    assert code == 0, said
    for part in ("Found", "Labels, in order: poor, great.", "Folded Nothing.", "Not carried over"):
        assert part in said
    assert "/v1/tenants/acme/prefixes/reviews/versions" in said
    spec = Prefix.load(file, fits=[bert.fingerprint]).spec
    assert (spec.labels, spec.max_length, spec.input.fields) == (("poor", "great"), 50, ("review",))
    assert [example.fields["review"] for example in spec.golden] == ["a good film", "a bad plot"]


def test_peft_reads_back_what_was_exported(folder: Path, bert: Backbone, tmp_path: Path) -> None:
    prefix = make_prefix(bert.fingerprint, head=HeadSpec(pooling="pooler"))
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    first.write_bytes(prefix.to_bytes())

    code, said = run("export", "peft", first, tmp_path / "adapter", "--backbone", folder)
    assert code == 0, said
    assert "AutoModelForSequenceClassification" in said
    code, said = run(
        *("import", "peft", tmp_path / "adapter", "--backbone", folder, "--output", second),
        *("--labels", "bad,good"),
    )

    assert code == 0, said
    assert (Prefix.load(second).tensors["prefix.keys"] == prefix.tensors["prefix.keys"]).all()


def test_a_full_disk_is_told_in_a_sentence_and_leaves_no_part_of_a_file(
    folder: Path, bert: Backbone, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(bert).write(tmp_path / "checkpoint")
    file = tmp_path / "task.safetensors"
    file.write_bytes(make_prefix(bert.fingerprint, head=HeadSpec(pooling="pooler")).to_bytes())
    with small_disk(tmp_path / "disk", kib=1) as disk:
        (disk / "filler").write_bytes(bytes(1024))
        new = disk / "new.safetensors"
        outcomes = [
            run("import", "ptuning-v2", checkpoint, "--backbone", folder, "--output", new),
            run("export", "peft", file, disk / "adapter", "--backbone", folder),
        ]
        left = [path for path in disk.rglob("*") if path.is_file()]

    for (code, said), name in zip(outcomes, ("new", "adapter_model"), strict=True):
        assert code == ExitCode.FAILURE
        assert re.search(rf"polyprefix: Could not write \S+{name}.safetensors: {FULL}", said), said
    assert [path.name for path in left] == ["filler"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--labels", "a,b,c"), "expected as many labels, found 3"),
        (("--max-length", 10_000), "max_length 10000 does not fit"),
        (("--problem-type", "guess"), "problem_type"),
        (("--template", "{a.b}"), "not a plain placeholder"),
        (("--task", "nowhere"), "nowhere"),
        (("--example", '{"text": 3}'), "is not a JSON object of texts"),
        (("--example", '{"other": "a film"}'), "takes the fields: text"),
        (("--pair-template", "{b}", "--example", "a film"), "with the fields text, b"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence_and_writes_nothing(
    folder: Path, bert: Backbone, tmp_path: Path, options: tuple[object, ...], reason: str
) -> None:
    checkpoint = make_checkpoint(bert).write(tmp_path / "checkpoint")
    file = tmp_path / "task.safetensors"

    code, said = run(
        "import", "ptuning-v2", checkpoint, "--backbone", folder, "--output", file, *options
    )

    assert code == ExitCode.INVALID_INPUT
    assert said.startswith("polyprefix: ")
    assert reason in said
    assert not file.exists()


def test_a_folder_that_is_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    code, said = run(
        *("import", "adapterhub", tmp_path / "none", "--backbone", folder),
        *("--output", tmp_path / "file"),
    )

    assert code == ExitCode.INVALID_INPUT
    assert "has no adapter_config.json" in said


def test_an_export_of_another_backbones_prefix_is_refused(folder: Path, tmp_path: Path) -> None:
    other = load_backbone(make_backbone_folder(tmp_path / "other", seed=6), device="cpu")
    file = tmp_path / "task.safetensors"
    file.write_bytes(make_prefix(other.fingerprint).to_bytes())

    code, said = run("export", "peft", file, tmp_path / "adapter", "--backbone", folder)

    assert code == ExitCode.INVALID_INPUT
    assert "weights_sha256" in said
