"""Warm starts: what was published is gone on with exactly, and what does not fit is refused."""

import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from prefixes import Prefix, digest_of
from prefixes.backbone import Backbone, load_backbone
from prefixes.registry import Actor, open_registry
from server.command_line.progress_bars import TrainingProgress
from tests.factories import make_backbone_folder, make_prefix
from tests.training.learnable_tasks import (
    count_rows,
    make_config,
    partner_rows,
    sentiment_rows,
    start,
    tagged_rows,
    topic_rows,
    train_all,
    write_jsonl,
)
from training.data.parts import load_task
from training.errors import CheckpointRejected, PlanRejected
from training.learning.run import Run
from training.sessions.plan_runs import PlanRuns
from training.sessions.prefix_sources import read_published
from training.sessions.session import run_plan
from training.sessions.warm_start import read_starts, with_shapes
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan, check_plan, load_plan
from training.settings.sweep_plan import SweepPlan


def begin(backbone: Backbone, config: TrainConfig) -> Run:
    """Start one run as a training does, and take no step."""
    starts = read_starts([config], fits=backbone.fingerprint)
    plan = with_shapes(TrainPlan(runs=(config,)), starts)
    return PlanRuns.begin(plan, [load_task(config)], backbone, starts, saved=None).runs[0]


def made_earlier(backbone: Backbone, folder: Path, config: TrainConfig) -> tuple[str, Prefix]:
    """Learn something for two steps, and write its file."""
    run = start(backbone, config.model_copy(update={"max_steps": 2}))
    train_all(backbone, [run])
    assert run.best_prefix is not None
    path = folder / "earlier.safetensors"
    path.write_bytes(run.best_prefix.to_bytes())
    return str(path), run.best_prefix


@pytest.mark.parametrize(
    ("rows", "settings"),
    [
        (sentiment_rows, {"head_activation": "tanh"}),
        (sentiment_rows, {"method": "prompt"}),
        (sentiment_rows, {"method": "vectors", "prefix_length": 0}),
        (sentiment_rows, {"method": "vectors", "prefix_length": 0, "rank": 3}),
        (count_rows, {"problem_type": "regression"}),
        (topic_rows, {"problem_type": "multi_label_classification"}),
        (partner_rows, {"task_type": "embedding"}),
    ],
)
def test_a_run_of_the_same_kind_goes_on_with_prefix_and_head(
    backbone: Backbone, tmp_path: Path, rows: Callable[[int], Any], settings: dict[str, Any]
) -> None:
    train = write_jsonl(tmp_path / "rows.jsonl", rows(24))
    config = make_config(train, **settings)
    path, earlier = made_earlier(backbone, tmp_path, config)
    run = begin(
        backbone,
        make_config(train, **settings, start_from=path, initialization=None, seed=5),
    )
    folded = run.learner.fold(center=run.rows.scale.center, spread=run.rows.scale.spread)
    for name, tensor in earlier.tensors.items():
        np.testing.assert_allclose(folded.tensors[name], tensor, rtol=1e-5, atol=1e-6, err_msg=name)
    assert run.starting_prefix is not None
    assert str(run.starting_prefix) == "begins as earlier.safetensors, with its head"
    console = Console(file=io.StringIO(), width=200)
    TrainingProgress(console).show([run])
    assert isinstance(console.file, io.StringIO)
    assert "acme/task begins as earlier.safetensors, with its head" in console.file.getvalue()
    assert run.starting_prefix.sha256 == digest_of(Path(path).read_bytes())


@pytest.mark.parametrize(
    ("rows", "settings", "reason"),
    [
        (topic_rows, {"problem_type": "multi_label_classification"}, "problem_type was single"),
        (partner_rows, {"task_type": "embedding"}, "task_type was sequence_classification"),
        (sentiment_rows, {"labels": ("good", "bad", "mixed")}, "other labels"),
        (sentiment_rows, {"pooling": "first_token"}, "another pooling or activation"),
    ],
)
def test_another_kind_of_task_takes_the_prefix_alone_and_says_so(
    backbone: Backbone,
    tmp_path: Path,
    rows: Callable[[int], Any],
    settings: dict[str, Any],
    reason: str,
) -> None:
    moods = write_jsonl(tmp_path / "moods.jsonl", sentiment_rows(24))
    path, earlier = made_earlier(backbone, tmp_path, make_config(moods))
    other = write_jsonl(tmp_path / "other.jsonl", rows(24))
    config = make_config(other, **settings, start_from=path, initialization=None)
    run = begin(backbone, config)
    tensors = run.learner.fold().tensors
    np.testing.assert_allclose(tensors["prefix.keys"], earlier.tensors["prefix.keys"], rtol=1e-6)
    assert run.starting_prefix is not None
    assert reason in str(run.starting_prefix)
    assert run.starting_prefix.facts["head"] is False
    cold = start(backbone, make_config(other, **settings)).learner.fold().tensors
    for name in tensors.keys() & {"head.output.weight", "head.output.bias"}:
        np.testing.assert_array_equal(tensors[name], cold[name])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"prefix_length": 6}, "prefix_length was 4, is 6"),
        ({"method": "prompt"}, "method was prefix, is prompt"),
        ({"position_offset": 0}, "position_offset was 4, is 0"),
    ],
)
def test_keys_and_values_that_would_mean_something_else_are_refused_by_name(
    backbone: Backbone, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(24))
    path, _ = made_earlier(backbone, tmp_path, make_config(rows))
    with pytest.raises(PlanRejected, match=reason):
        begin(backbone, make_config(rows, **settings, start_from=path, initialization=None))


@pytest.mark.parametrize(
    "shape",
    [
        {"method": "prefix", "prefix_length": 4, "position_offset": 2},
        {"method": "prompt", "prefix_length": 3},
        {"method": "prefix", "prefix_length": 4},
        {"method": "vectors", "prefix_length": 0},
        {"method": "vectors", "prefix_length": 0, "rank": 3},
    ],
)
def test_method_and_shape_are_those_of_the_initial_prefix(
    backbone: Backbone, tmp_path: Path, shape: dict[str, Any]
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(24))
    path, earlier = made_earlier(backbone, tmp_path, make_config(rows, **shape))
    config = TrainConfig(task="acme/task", train=rows, start_from=path, max_length=32)
    spec = begin(backbone, config).spec
    assert spec.method == shape["method"]
    assert (spec.prefix_length, spec.position_offset, spec.rank) == (
        earlier.spec.prefix_length,
        earlier.spec.position_offset,
        earlier.spec.rank,
    )


def test_vectors_start_from_a_head_alone(backbone: Backbone, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(24))
    head = make_config(rows, method="head", prefix_length=0)
    path, earlier = made_earlier(backbone, tmp_path, head)
    run = begin(backbone, TrainConfig(task="acme/x", train=rows, start_from=path, max_length=32))
    assert run.spec.method == "vectors"
    weight = run.learner.fold().tensors["head.output.weight"]
    np.testing.assert_array_equal(weight, earlier.tensors["head.output.weight"])


def test_entities_that_start_from_a_head_have_a_rank(backbone: Backbone, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", tagged_rows(24))
    tags: dict[str, Any] = {"train": rows, "task_type": "token_classification", "max_length": 32}
    head = TrainConfig(task="acme/x", method="head", max_steps=2, **tags)
    path, _ = made_earlier(backbone, tmp_path, head)
    run = begin(backbone, TrainConfig(task="acme/x", start_from=path, **tags))
    assert (run.spec.method, run.spec.rank) == ("vectors", 8)


def test_entities_that_start_from_a_prefix_have_the_recipe_of_prefixes(
    backbone: Backbone, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", tagged_rows(24))
    tags: dict[str, Any] = {"train": rows, "task_type": "token_classification", "max_length": 32}
    prefix = TrainConfig(task="acme/x", method="prefix", prefix_length=4, max_steps=2, **tags)
    path, _ = made_earlier(backbone, tmp_path, prefix)
    config = begin(backbone, TrainConfig(task="acme/x", start_from=path, **tags)).config
    assert (config.method, config.learning_rate) == ("prefix", 0.02)
    assert (config.hidden_dropout, config.label_smoothing) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("source", "settings", "reason"),
    [
        ({"method": "vectors", "prefix_length": 0}, {"prefix_dropout": 0.1}, "was vectors, is pre"),
        ({"method": "vectors", "prefix_length": 0}, {"method": "prefix"}, "was vectors, is prefix"),
        ({"method": "head", "prefix_length": 0}, {"method": "prefix"}, "was head, is prefix"),
        ({}, {"method": "vectors"}, "was prefix, is vectors"),
        ({}, {"prefix_length": 16}, "prefix_length was 4, is 16"),
        (
            {"method": "vectors", "prefix_length": 0, "rank": 3},
            {"rank": 4},
            "rank was 3, is 4",
        ),
        ({"method": "vectors", "prefix_length": 0, "rank": 3}, {"rank": 0}, "rank was 3, is 0"),
    ],
)
def test_a_method_of_its_own_must_be_that_of_the_start(
    backbone: Backbone,
    tmp_path: Path,
    source: dict[str, Any],
    settings: dict[str, Any],
    reason: str,
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(24))
    path, _ = made_earlier(backbone, tmp_path, make_config(rows, **source))
    config = TrainConfig(task="acme/x", train=rows, start_from=path, max_length=32, **settings)
    with pytest.raises(PlanRejected, match=reason):
        begin(backbone, config)


def test_a_sweep_must_fit_the_method_of_the_start(backbone: Backbone, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(24))
    path, _ = made_earlier(backbone, tmp_path, make_config(rows, method="vectors", prefix_length=0))
    config = TrainConfig(task="acme/x", train=rows, start_from=path)
    plan = TrainPlan(runs=(config,), sweep=SweepPlan(space={"prefix_length": (4, 8)}))
    starts = read_starts(plan.runs, fits=backbone.fingerprint)
    with pytest.raises(PlanRejected, match=r"the sweep would train acme/x .*prefix_length applies"):
        with_shapes(plan, starts)


def test_a_setting_of_prefixes_leaves_the_length_to_the_start(
    backbone: Backbone, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(24))
    path, _ = made_earlier(backbone, tmp_path, make_config(rows))
    settings: dict[str, Any] = {"max_length": 32, "prefix_dropout": 0.1}
    run = begin(backbone, TrainConfig(task="acme/x", train=rows, start_from=path, **settings))
    assert (run.spec.prefix_length, run.config.prefix_dropout) == (4, 0.1)


def test_a_prefix_for_another_backbone_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    other = load_backbone(make_backbone_folder(tmp_path / "other", seed=1), device="cpu")
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(make_prefix(other.fingerprint).to_bytes())
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(24))
    with pytest.raises(PlanRejected, match="weights_sha256"):
        begin(backbone, make_config(rows, start_from=str(path), initialization=None))


@pytest.mark.parametrize("rival", [{"initialization": "noise"}, {"projection_size": 8}])
def test_a_prefix_begins_as_one_thing_only(tmp_path: Path, rival: dict[str, Any]) -> None:
    rows = str(write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(24)))
    run = {"task": "acme/x", "train": rows, "start_from": "x", **rival}
    with pytest.raises(PlanRejected, match=f"remove {next(iter(rival))}"):
        check_plan({"runs": [run]}, origin="test")


def test_a_plan_names_a_file_beside_it(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    table = '[[task]]\ntask = "acme/{0}"\ntrain = "x"\nstart_from = "{1}"\n'
    starts = {"a": "a.safetensors", "b": "store#acme/b:live", "c": "http://host:1#acme/c@2"}
    plan.write_text("".join(table.format(*pair) for pair in starts.items()), encoding="utf-8")
    assert [run.start_from for run in load_plan(plan, plan={}, run={}).runs] == [
        str(tmp_path / "a.safetensors"),
        str(tmp_path / "store#acme/b:live"),
        "http://host:1#acme/c@2",
    ]


def test_a_version_or_an_alias_is_read_from_a_store(backbone: Backbone, tmp_path: Path) -> None:
    prefixes = [make_prefix(backbone.fingerprint, seed=seed) for seed in (0, 1)]
    registry = open_registry(tmp_path / "store")
    registry.ensure_tenant("acme")
    for prefix in prefixes:
        with registry.store.stage() as staged:
            staged.write(prefix.to_bytes())
            registry.publish("acme", "mood", staged, prefix, alias="newest", by=Actor("test"))
    registry.close()
    for name, number in {"acme/mood": 0, "acme/mood:newest": 1, "acme/mood@2": 1}.items():
        assert read_published(f"{tmp_path / 'store'}#{name}") == prefixes[number].to_bytes()


@contextmanager
def serving(answers: Mapping[str, bytes]) -> Iterator[str]:
    """A server that knows some paths, and a tenant's key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.headers["Authorization"] == "Bearer secret" and self.path in answers
            content = answers[self.path] if is_known else b""
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}"
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def test_a_version_or_an_alias_is_downloaded_from_a_server() -> None:
    base = "/v1/tenants/acme/prefixes/mood"
    entry = json.dumps({"aliases": [{"name": "live", "version": 3, "history": []}]}).encode()
    with serving({base: entry, f"{base}/versions/3/file": b"three"}) as url:
        assert read_published(f"{url}#acme/mood@3", key="secret") == b"three"
        assert read_published(f"{url}/#acme/mood", key="secret") == b"three"
        with pytest.raises(PlanRejected, match="no alias old"):
            read_published(f"{url}#acme/mood:old", key="secret")
        with pytest.raises(PlanRejected, match="status 404"):
            read_published(f"{url}#acme/mood@3", key="wrong")


@pytest.mark.parametrize("source", ["none.safetensors", "none#acme/x", "http://127.0.0.1:1#a/x@1"])
def test_what_cannot_be_read_is_named(tmp_path: Path, source: str) -> None:
    if not source.startswith("http"):
        source = str(tmp_path / source)
    with pytest.raises(PlanRejected, match="could not be read"):
        read_published(source)
    assert list(tmp_path.iterdir()) == []


class Killed(Exception):
    pass


def test_the_digest_stands_in_the_file_and_another_start_is_not_resumed(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(24))
    path, _ = made_earlier(backbone, tmp_path, make_config(rows))
    config = make_config(rows, start_from=path, initialization=None, max_steps=3)
    plan = TrainPlan(runs=(config,), backbone=str(backbone_folder), device="cpu")

    def stop(runs: list[Run]) -> None:
        if runs[0].step == 2:
            raise Killed

    output = tmp_path / "output"
    with pytest.raises(Killed):
        run_plan(plan, output, seconds_between_checkpoints=0, watch=stop)  # type: ignore[arg-type]
    content = Path(path).read_bytes()
    Path(path).write_bytes(make_prefix(backbone.fingerprint, prefix_length=4).to_bytes())
    with pytest.raises(CheckpointRejected, match="acme/task: start_from: was"):
        run_plan(plan, output, resume=True, watch=lambda _: None)
    Path(path).write_bytes(content)
    (trained,) = run_plan(plan, output, resume=True, watch=lambda _: None)
    facts = {"from": "earlier.safetensors", "sha256": digest_of(content), "head": True}
    provenance = Prefix.load(trained.file).spec.provenance
    assert provenance is not None
    assert provenance.recipe["start_from"] == facts
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    assert report["start_from"] == facts
