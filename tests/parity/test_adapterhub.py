"""Adapters that AdapterHub's own library saved, imported, against the outputs it computed.

`make_adapterhub_case.py` made the files, once.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from prefixes.backbone import Backbone, EncodedText, load_backbone, pool_of, run_mixed
from prefixes.interop.adapterhub import MODEL_TYPES, import_adapterhub
from prefixes.interop.assembly import ImportOptions
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.report import ImportedPrefix
from tests.parity.tokenizer import borrow_tokenizer

DATA: Final = Path(__file__).parents[1] / "data" / "adapterhub"
CASES: Final = sorted(folder.name for folder in DATA.iterdir())
LABELS: Final = ("x", "y", "z")
NAMELESS: Final = {"deberta_v2_static", "xlm_roberta_static"}
"""Those of transformers' classes, with which AdapterHub saves no names of labels."""


@dataclass(frozen=True)
class Case:
    name: str
    adapter: Path
    backbone: Backbone

    def imported(self) -> ImportedPrefix:
        options = ImportOptions(labels=LABELS if self.name in NAMELESS else None)
        return import_adapterhub(self.adapter, self.backbone, options)


def load_case(name: str, folder: Path, linear_kernel: str = "torch") -> Case:
    shutil.copytree(DATA / name / "backbone", folder / "backbone")
    borrow_tokenizer(folder / "backbone")
    backbone = load_backbone(folder / "backbone", device="cpu", linear_kernel=linear_kernel)
    return Case(name, shutil.copytree(DATA / name / "adapter", folder / "adapter"), backbone)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path, linear_kernel: str) -> Case:
    return load_case(request.param, tmp_path, linear_kernel)


@pytest.fixture
def bert(tmp_path: Path) -> Case:
    return load_case("bert_pooled", tmp_path)


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    settings = json.loads(path.read_text())
    change(settings)
    path.write_text(json.dumps(settings))


def test_there_is_a_case_of_every_architecture() -> None:
    configs = [json.loads((DATA / name / "backbone" / "config.json").read_text()) for name in CASES]
    assert {config["model_type"] for config in configs} == MODEL_TYPES


def test_outputs_equal_those_of_adapterhub(case: Case) -> None:
    expected = load_file(DATA / case.name / "expected.safetensors")
    tokens = torch.split(expected["token_ids"], expected["lengths"].tolist())
    texts = [EncodedText(ids.tolist(), [0] * len(ids)) for ids in tokens]
    prefix = case.imported().prefix
    pool, (resident,) = pool_of(case.backbone, [prefix])

    outputs = run_mixed(case.backbone, pool, [(text, resident) for text in texts])

    rows = torch.cat([values.reshape(-1, values.shape[-1]) for values in outputs])
    torch.testing.assert_close(rows, expected["outputs"], atol=1e-5, rtol=0)


def test_texts_keep_their_positions(case: Case) -> None:
    spec = case.imported().prefix.spec

    assert (spec.prefix_length, spec.position_offset) == (4, 0)
    assert spec.max_length == case.backbone.fingerprint.max_positions


def test_names_of_labels_come_from_the_head(case: Case) -> None:
    labels = case.imported().prefix.spec.labels

    assert labels == (() if case.name in {"electra_answers", "roberta_choices"} else LABELS)


def test_the_report_says_what_was_folded(case: Case) -> None:
    folded = " ".join(case.imported().report.folded)

    flat = {"bert_pooled", "electra_answers", "xlm_roberta_static"}
    assert ("MLP of bottleneck 6" in folded) == (case.name not in flat)
    assert ("shared layer" in folded) == (case.name == "albert_multilabel")


def test_weights_may_be_safetensors(bert: Case) -> None:
    before = bert.imported().prefix
    names = {
        "pytorch_adapter.bin": "adapter.safetensors",
        "pytorch_model_head.bin": "model_head.safetensors",
    }
    for old, new in names.items():
        tensors: dict[str, Tensor] = torch.load(bert.adapter / old, weights_only=True)
        save_file({name: x.clone() for name, x in tensors.items()}, bert.adapter / new)
        (bert.adapter / old).unlink()

    after = bert.imported().prefix

    for name, tensor in before.tensors.items():
        assert (after.tensors[name] == tensor).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"architecture": "lora"}, "architecture lora: expected prefix_tuning"),
        ({"use_gating": True}, "gates"),
        ({"leave_out": [1]}, r"leaves out the layers \[1\]"),
        ({"prefix_length": 3}, "prefix_length 3 positions"),
        ({"prefix_length": 10**12}, "prefix_length 1000000000000 positions"),
        ({"prefix_length": "4"}, "prefix_length 4 positions"),
    ],
)
def test_what_a_prefix_cannot_do_is_refused(
    bert: Case, change: dict[str, Any], reason: str
) -> None:
    edit(bert.adapter / "adapter_config.json", lambda config: config["config"].update(change))

    with pytest.raises(ConversionRefused, match=reason):
        bert.imported()


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"bottleneck_size": 7}, "bottleneck_size is '7'"), ({"prefix_length": 5}, "prefix_length")],
)
def test_sizes_that_the_tensors_contradict_are_refused(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    case = load_case("roberta_choices", tmp_path)
    edit(case.adapter / "adapter_config.json", lambda config: config["config"].update(change))

    with pytest.raises(ConversionRefused, match=f"contradicts the tensors.*{reason}"):
        case.imported()


def test_another_non_linearity_than_tanh_is_refused(tmp_path: Path) -> None:
    case = load_case("roberta_choices", tmp_path)
    edit(
        case.adapter / "adapter_config.json",
        lambda config: config["config"].update(non_linearity="relu"),
    )

    with pytest.raises(ConversionRefused, match="non-linearity relu: expected tanh"):
        case.imported()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head_type": "causal_lm"}, "head_type causal_lm"),
        ({"layers": 3}, "1 layers, head_config.json says 3"),
    ],
)
def test_other_heads_are_refused(bert: Case, change: dict[str, Any], reason: str) -> None:
    edit(bert.adapter / "head_config.json", lambda config: config["config"].update(change))

    with pytest.raises(ConversionRefused, match=reason):
        bert.imported()


def test_an_adapter_without_a_head_is_refused(bert: Case) -> None:
    (bert.adapter / "head_config.json").unlink()

    with pytest.raises(ConversionRefused, match="with_head=True"):
        bert.imported()


def test_an_adapter_of_another_architecture_is_refused(bert: Case, tmp_path: Path) -> None:
    other = load_case("roberta_choices", tmp_path / "other")

    with pytest.raises(ConversionRefused, match=r"trained on bert: .* is roberta"):
        import_adapterhub(bert.adapter, other.backbone, ImportOptions())
