"""Configurations: plans from TOML files, grids, and refusals that name what is wrong."""

from pathlib import Path
from typing import Any, get_args

import pytest

from prefixes.spec import ProblemType, TaskType
from training.errors import PlanRejected
from training.settings.config import TrainConfig
from training.settings.defaults import MetricName, metrics_of
from training.settings.former_names import FORMER_NAMES
from training.settings.plan import check_plan, load_plan
from training.settings.sweep_plan import Range, parse_space, with_settings

(FORMER,) = FORMER_NAMES

PLAN = """
backbone = "minilm"
dtype = "bfloat16"

[defaults]
epochs = 2
train = "all.jsonl"

[[task]]
task = "acme/sentiment"
train = "sentiment.jsonl"

[[task]]
task = "acme/topics"
problem_type = "multi_label_classification"

[grid]
prefix_length = [8, 16]
learning_rate = [0.01, 0.03]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal_of(folder: Path, text: str) -> str:
    with pytest.raises(PlanRejected) as caught:
        load_plan(write(folder, text), plan={}, run={})
    return str(caught.value)


def test_a_grid_trains_every_task_once_for_each_combination(tmp_path: Path) -> None:
    plan = load_plan(write(tmp_path, PLAN), plan={}, run={})
    assert [run.run_name for run in plan.runs] == [
        f"{task}/prefix_length={length},learning_rate={rate}"
        for task in ("acme/sentiment", "acme/topics")
        for length in (8, 16)
        for rate in (0.01, 0.03)
    ]
    assert {(run.prefix_length, run.learning_rate) for run in plan.runs} == {
        (8, 0.01),
        (8, 0.03),
        (16, 0.01),
        (16, 0.03),
    }


def test_a_plan_says_what_is_searched(tmp_path: Path) -> None:
    text = """
        [[task]]
        task = "acme/x"
        train = "x.csv"
        [sweep]
        trials = 5
        [sweep.space]
        learning_rate = { low = 1e-3, high = 5e-2, log = true }
        prefix_length = { low = 8, high = 32, step = 8 }
        initialization = ["activations", "noise"]
    """
    plan = load_plan(write(tmp_path, text), plan={}, run={})
    assert [run.run_name for run in plan.runs] == ["acme/x"]
    assert plan.sweep is not None
    assert (plan.sweep.trials, plan.sweep.together, plan.sweep.sampler) == (5, 8, "tpe")
    assert plan.sweep.space == {
        "learning_rate": Range(low=1e-3, high=5e-2, log=True),
        "prefix_length": Range(low=8, high=32, step=8),
        "initialization": ("activations", "noise"),
    }


def test_plans_may_use_the_former_spelling_of_a_setting(tmp_path: Path) -> None:
    text = f"""
        [defaults]
        train = "x.csv"
        {FORMER} = "noise"
        [[task]]
        task = "acme/x"
        [[task]]
        task = "acme/y"
        initialization = "activations"
        [sweep.space]
        {FORMER} = ["activations", "noise"]
    """
    plan = load_plan(write(tmp_path, text), plan={}, run={})
    assert [run.initialization for run in plan.runs] == ["noise", "activations"]
    assert plan.sweep is not None
    assert list(plan.sweep.space) == ["initialization"]
    given = load_plan(tmp_path / "plan.toml", plan={}, run={"initialization": "activations"})
    assert {run.initialization for run in given.runs} == {"activations"}


def test_a_grid_with_a_former_spelling_keeps_the_names_of_its_runs(tmp_path: Path) -> None:
    text = f"""
        [[task]]
        task = "acme/x"
        train = "x.csv"
        [grid]
        {FORMER} = ["activations", "noise"]
    """
    plan = load_plan(write(tmp_path, text), plan={}, run={})
    assert [(run.run_name, run.initialization) for run in plan.runs] == [
        (f"acme/x/{FORMER}=activations", "activations"),
        (f"acme/x/{FORMER}=noise", "noise"),
    ]


def test_both_spellings_of_a_setting_are_rejected() -> None:
    run = {"task": "a/b", "train": "x.csv", FORMER: "noise", "initialization": "noise"}
    with pytest.raises(PlanRejected, match=f"{FORMER}: is not a setting"):
        check_plan({"runs": [run]}, origin="test")


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("a=1e-3..5e-2", {"low": 1e-3, "high": 5e-2, "log": True}),
        ("a=0.1..0.5", {"low": 0.1, "high": 0.5, "log": False}),
        ("a=0..30", {"low": 0, "high": 30, "log": False}),
        ("a=8,16", [8, 16]),
        ("a=linear, cosine", ["linear", "cosine"]),
    ],
)
def test_a_range_or_a_list_is_read_from_a_flag(text: str, entry: Any) -> None:
    assert parse_space(text) == ("a", entry)


def test_tasks_share_defaults_and_may_differ_from_them(tmp_path: Path) -> None:
    plan = load_plan(write(tmp_path, PLAN), plan={}, run={})
    assert {run.epochs for run in plan.runs} == {2}
    sources = [run.train for run in plan.runs[::4]]
    assert [one.name for one in sources if one] == ["sentiment.jsonl", "all.jsonl"]


def test_data_files_are_looked_for_beside_the_plan(tmp_path: Path) -> None:
    plan = load_plan(write(tmp_path, PLAN), plan={}, run={})
    assert plan.runs[0].train == tmp_path / "sentiment.jsonl"


def test_what_the_caller_gives_comes_before_what_the_file_says(tmp_path: Path) -> None:
    plan = load_plan(write(tmp_path, PLAN), plan={"dtype": "float32"}, run={"epochs": 7})
    assert plan.dtype == "float32"
    assert {run.epochs for run in plan.runs} == {7}


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        pytest.param("", ["the plan has no task"], id="no-task"),
        pytest.param("not toml", ["Cannot read the plan"], id="no-toml"),
        pytest.param(
            "task = 1", ["[[task]], [defaults] and [grid] must be tables"], id="task-is-no-table"
        ),
        pytest.param("runs = []", ["use [[task]] tables"], id="runs"),
        pytest.param('quantize = "int8"', ["int8 has no gradients"], id="int8"),
        pytest.param('dtype = "float16"', ["'auto', 'float32' or 'bfloat16'"], id="float16"),
        pytest.param(
            '[[task]]\ntask = "acme/x"\ntrain = "x"\nlearning_rat = 1\nbatch_size = 0',
            [
                "runs.0.learning_rat: is not a setting; did you mean 'learning_rate'?",
                "runs.0.batch_size",
            ],
            id="every-field",
        ),
        pytest.param('[[task]]\ntask = "acme/x"', ["no training rows: set --train"], id="no-data"),
        pytest.param(
            "devise = 1", ["  devise: is not a setting; did you mean 'device'?"], id="plan"
        ),
        pytest.param(
            "[sweep]\ntrails = 1",
            ["sweep.trails: is not a setting; did you mean 'trials'?"],
            id="sweep",
        ),
        pytest.param(
            '[[task]]\ntask = "acme/x"\ntrain = "x"\n[[task]]\ntask = "acme/x"\ntrain = "y"',
            ["found acme/x more than once"],
            id="same-name",
        ),
        pytest.param(
            '[[task]]\ntask = "acme/x@3"\ntrain = "x"', ["a version or alias"], id="version"
        ),
        pytest.param('[[task]]\ntask = "x"\ntrain = "x"', ["TENANT/TASK"], id="no-tenant"),
        pytest.param(
            '[[task]]\ntask = "acme/x"\ntrain = "x"\nselect_by = "pearson"',
            ["does not measure single_label_classification"],
            id="foreign-metric",
        ),
        pytest.param(
            '[[task]]\ntask = "acme/x"\ntrain = "x"\npair_column = "b"',
            ["pair_column needs text_column"],
            id="half-a-pair",
        ),
        pytest.param(
            '[[task]]\ntask = "a/x"\ntrain = "x"\nproblem_type = "regression"\nlabels = ["a"]',
            ["labels apply only to classification, not to regression"],
            id="labels-of-a-regression",
        ),
        *(
            pytest.param(
                f'[[task]]\ntask = "a/x"\ntrain = "x"\n{settings}', [complaint], id=complaint
            )
            for settings, complaint in {
                'task_type = "tagging"': "task_type: Input should be",
                'task_type = "embedding"\nproblem_type = "regression"': "problem_type applies",
                'task_type = "multiple_choice"\nlabels = ["a"]': "not to multiple_choice",
                'task_type = "token_classification"\npooling = "mean"': "must be every_token",
                'pooling = "every_token"': "must be mean, first_token or pooler",
                'task_type = "question_answering"\nselect_by = "mrr"': "does not measure",
                'task_type = "embedding"\nbatch_size = 1': "must be at least 2",
                'label_smoothing = 0.1\nproblem_type = "regression"': "one right label, not to",
                'label_smoothing = 0.1\ntask_type = "multiple_choice"': "one right label",
                'threshold = "precision>=2"': "expected f1, precision>=X or recall>=X",
                'threshold = "f1"\ntask_type = "embedding"': "labels of whole texts, not to embed",
                'threshold = "f1"\nproblem_type = "regression"': "not to regression",
                'threshold = "f1"\nmethod = "full"': "needs a prefix file",
                "reject = 1.0": "less than 1",
                'reject = 0.9\nproblem_type = "regression"': "not to regression",
                'reject = 0.9\nproblem_type = "multi_label_classification"': "one right label",
                'reject = 0.9\ntask_type = "embedding"': "one right label, not to embedding",
                'reject = 0.9\nmethod = "full"': "needs a prefix file",
                'hierarchy = "labels"\nproblem_type = "regression"': "not to regression",
                'hierarchy = "labels"\nmethod = "full"': "needs a prefix file",
                "hierarchy = {}": "the parent of at least one label",
                "stride = 4": "stride applies only with long_texts 'windows'",
                'merge = "max"': "merge applies only with long_texts 'windows'",
                "max_windows = 4": "max_windows applies only with long_texts 'windows'",
                'long_texts = "cut"': "Input should be 'truncate' or 'windows'",
                'long_texts = "windows"\ntask_type = "question_answering"': "remove long_texts",
                'long_texts = "windows"\ntask_type = "multiple_choice"': "does not apply to mult",
                'long_texts = "windows"\nmethod = "full"': "applies only to a prefix file",
                'task_type = "embedding"\nlong_texts = "windows"\nmerge = "max"': "not to embed",
                "max_answer_tokens = 4": "apply only to question_answering",
                'pair_template = "{b}"': "pair_template needs template",
                'template = "{a.b}"': "is not a plain placeholder",
                'template = "{choice}"': "a multiple_choice template must contain {choice}",
                'task_type = "multiple_choice"\ntemplate = "{a}"': "and no other may",
                'task_type = "token_classification"\ntemplate = "{a}"': "remove template",
                'task_type = "embedding"\ntemplate = "{a} {b}"': "must have one field",
                'method = "prompt"\nprojection_size = 8': "not to 'prompt'",
                'method = "prompt"\nposition_offset = 8': "remove position_offset",
                'method = "prefix"\nprefix_length = 0': "needs a prefix_length of 1 or more",
                'method = "head"\nprefix_length = 8': "prefix_length applies only to a prefix",
                'method = "head"\nprojection_size = 8': "projection_size applies only to a prefix",
                'method = "head"\ntask_type = "embedding"': "needs head_activation",
                'method = "full"\nhidden_dropout = 0.2': "remove hidden_dropout",
                'method = "head"\nrank = 8': "rank applies only to method 'vectors', not to 'head'",
            }.items()
        ),
        pytest.param(
            '[[task]]\ntask = "a/x"\ntrain = "x"\n[grid]\nseed = 3',
            ["must be a list"],
            id="grid-without-lists",
        ),
        pytest.param(
            '[[task]]\ntask = "a/x"\ntrain = "x"\n[grid]\nseed = [3]\n[sweep]\nspace.seed = [4]',
            ["[grid] and [sweep]: remove one of them"],
            id="grid-and-sweep",
        ),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_by_name(
    tmp_path: Path, text: str, complaints: list[str]
) -> None:
    message = refusal_of(tmp_path, text)
    assert [complaint for complaint in complaints if complaint not in message] == []
    assert "Value error" not in message


def test_a_plan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanRejected, match="Cannot read the plan"):
        load_plan(tmp_path / "none.toml", plan={}, run={})


def test_a_type_of_task_begins_with_settings_of_its_own() -> None:
    def config(**fields: Any) -> TrainConfig:
        return TrainConfig(task="acme/x", train=Path("x"), **fields)

    answers = config(task_type="question_answering", stride=64)
    assert (answers.pooling, answers.stride, answers.max_answer_tokens) == ("every_token", 64, 30)
    assert answers.metric == "f1"
    assert config().problem_type == "single_label_classification"
    assert config(task_type="multiple_choice").problem_type is None
    assert config(task_type="token_classification").metric == "entity_f1"
    assert config(method="prompt").offset == 0
    assert config(method="prefix").offset == 16
    head = config(method="head")
    assert (head.prefix_length, head.offset, head.begins_as_activations) == (0, 0, False)
    vectors = config()
    assert (vectors.method, vectors.learning_rate) == ("vectors", 0.01)
    assert (vectors.prefix_length, vectors.offset) == (0, 0)
    assert not vectors.begins_as_activations


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, (0, 0.0, 0.0)),
        ({"rank": 3}, (3, 0.0, 0.0)),
        ({"task_type": "token_classification"}, (8, 0.1, 0.1)),
        ({"task_type": "token_classification", "rank": 0}, (0, 0.1, 0.1)),
        ({"task_type": "token_classification", "hidden_dropout": 0.0}, (8, 0.0, 0.1)),
        ({"task_type": "token_classification", "method": "prefix"}, (0, 0.0, 0.0)),
    ],
)
def test_vectors_of_tags_have_a_recipe_of_their_own(
    given: dict[str, Any], found: tuple[int, float, float]
) -> None:
    config = TrainConfig(task="acme/x", train=Path("x"), **given)
    assert (config.rank, config.hidden_dropout, config.label_smoothing) == found


def test_another_method_in_a_sweep_of_tags_has_no_rank() -> None:
    tags = TrainConfig(task="acme/x", train=Path("x"), task_type="token_classification")
    trials = [with_settings(tags, {"method": one}, "trial") for one in ("prefix", "vectors")]
    found = [(one.rank, one.learning_rate, one.hidden_dropout) for one in trials]
    assert found == [(0, 0.02, 0.0), (8, 0.01, 0.1)]


def test_another_method_in_a_sweep_keeps_what_is_set_even_to_a_default() -> None:
    given = {"hidden_dropout": 0.1, "label_smoothing": 0.1, "learning_rate": 0.01}
    tags = TrainConfig(task="acme/x", train=Path("x"), task_type="token_classification", **given)
    trial = with_settings(tags, {"method": "prefix"}, "trial")
    assert {name: getattr(trial, name) for name in given} == given


@pytest.mark.parametrize(
    "given",
    [
        {"prefix_length": 4},
        {"position_offset": 0},
        {"projection_size": 8},
        {"initialization": "noise"},
        {"prefix_dropout": 0.1},
    ],
)
def test_a_setting_of_prefixes_selects_the_method_prefix(given: dict[str, Any]) -> None:
    config = TrainConfig(task="acme/x", train=Path("x"), **given)
    assert (config.method, config.learning_rate) == ("prefix", 0.02)
    assert config.prefix_length == given.get("prefix_length", 16)


@pytest.mark.parametrize(
    "given",
    [
        {"initialization": None, "position_offset": None},
        {"prefix_length": 0, "prefix_dropout": 0.0},
    ],
)
def test_a_setting_without_effect_selects_no_method(given: dict[str, Any]) -> None:
    data = {"task": "acme/x", "train": Path("x"), **given}
    assert TrainConfig.model_validate(data).method == "vectors"


def test_a_sweep_compares_methods_with_the_defaults_of_each() -> None:
    run = {"task": "acme/x", "train": "x.csv", "method": "prefix", "epochs": 2}
    methods = ["prefix", "vectors", "head"]
    fields = {"runs": [run], "sweep": {"space": {"method": methods}, "sampler": "grid"}}
    (base,) = check_plan(fields, origin="test").runs
    trials = [with_settings(base, {"method": one}, "trial") for one in methods]
    assert [(one.prefix_length, one.learning_rate) for one in trials] == [
        (16, 0.02),
        (0, 0.01),
        (0, 0.01),
    ]
    assert {one.epochs for one in trials} == {2}


def test_tasks_with_different_methods_cannot_share_a_prefix() -> None:
    runs: list[dict[str, Any]] = [{"task": f"acme/{name}", "train": "x.csv"} for name in "ab"]
    runs[0]["prefix_dropout"] = 0.1
    with pytest.raises(PlanRejected) as caught:
        check_plan({"runs": runs, "multitask": {}}, origin="test")
    message = str(caught.value)
    assert "the same method: found prefix, vectors. Set it for all of them" in message
    assert "prefix_length" not in message


def test_every_metric_can_select_the_best_step_of_some_task() -> None:
    problem_types = {
        "sequence_classification": get_args(ProblemType),
    }
    selecting = {
        name
        for task_type in get_args(TaskType)
        for problem_type in problem_types.get(task_type, (None,))
        for name in metrics_of(task_type, problem_type)
    }
    assert selecting == set(get_args(MetricName))
