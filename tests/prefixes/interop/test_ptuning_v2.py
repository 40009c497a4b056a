from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prefixes import PrefixRejected
from prefixes.backbone import Backbone, load_backbone
from prefixes.interop.assembly import ImportOptions
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.ptuning_v2 import import_ptuning_v2
from prefixes.template import InputTemplate
from tests.factories import make_backbone_folder
from tests.prefixes.interop.checkpoints import PREFIX_LENGTH, make_checkpoint, random_tensors

LABELS = ("bad", "good")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = tmp_path_factory.mktemp("bert")
    return load_backbone(make_backbone_folder(folder, "bert", seed=5), device="cpu")


def refusal_of(folder: Path, backbone: Backbone, **options: Any) -> str:
    with pytest.raises(ConversionRefused) as caught:
        import_ptuning_v2(folder, backbone, ImportOptions(**options))
    return str(caught.value)


def test_everything_that_a_checkpoint_says_is_kept(bert: Backbone, tmp_path: Path) -> None:
    folder = make_checkpoint(bert).write(tmp_path)

    imported = import_ptuning_v2(folder, bert, ImportOptions())

    spec = imported.prefix.spec
    assert spec.labels == LABELS
    assert spec.problem_type == "single_label_classification"
    assert (spec.prefix_length, spec.position_offset) == (PREFIX_LENGTH, PREFIX_LENGTH)
    assert spec.max_length == bert.fingerprint.max_positions - PREFIX_LENGTH
    assert spec.head.pooling == "pooler"
    assert spec.provenance is not None
    assert spec.provenance.tool == "polyprefix import ptuning-v2"
    assert any("frozen tensors equal" in line for line in imported.report.found)
    assert imported.report.folded == ()
    assert any("template" in line for line in imported.report.not_carried_over)


def test_options_override_the_files(bert: Backbone, tmp_path: Path) -> None:
    folder = make_checkpoint(bert).write(tmp_path)
    template = InputTemplate(text="{question}", text_pair="{passage}")

    spec = import_ptuning_v2(
        folder,
        bert,
        ImportOptions(
            labels=("no", "yes"),
            problem_type="multi_label_classification",
            max_length=40,
            template=template,
        ),
    ).prefix.spec

    assert (spec.labels, spec.max_length, spec.input) == (("no", "yes"), 40, template)
    assert spec.problem_type == "multi_label_classification"


def test_a_known_data_set_brings_its_template(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.config["finetuning_task"] = "boolq"

    imported = import_ptuning_v2(checkpoint.write(tmp_path), bert, ImportOptions())

    assert imported.prefix.spec.input.fields == ("question", "passage")
    assert not any("template" in line for line in imported.report.not_carried_over)


def test_a_projection_is_folded_and_said_to_be(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert)
    flat = checkpoint.tensors.pop("prefix_encoder.embedding.weight")
    checkpoint.tensors |= random_tensors(
        {
            "prefix_encoder.embedding.weight": (PREFIX_LENGTH, 32),
            "prefix_encoder.trans.0.weight": (24, 32),
            "prefix_encoder.trans.0.bias": (24,),
            "prefix_encoder.trans.2.weight": (flat.shape[1], 24),
            "prefix_encoder.trans.2.bias": (flat.shape[1],),
        }
    )

    imported = import_ptuning_v2(checkpoint.write(tmp_path), bert, ImportOptions())

    assert "projection of width 24" in imported.report.folded[0]
    own = {name.removeprefix("prefix_encoder."): x for name, x in checkpoint.tensors.items()}
    hidden = torch.tanh(own["embedding.weight"] @ own["trans.0.weight"].T + own["trans.0.bias"])
    first = (hidden @ own["trans.2.weight"].T + own["trans.2.bias"])[0, :8]  # head 0 of layer 0
    np.testing.assert_allclose(imported.prefix.tensors["prefix.keys"][0, 0, 0], first, atol=1e-6)


def test_another_pooler_than_the_backbones_goes_into_the_head(
    bert: Backbone, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.tensors["bert.pooler.dense.bias"] += 1

    prefix = import_ptuning_v2(checkpoint.write(tmp_path), bert, ImportOptions()).prefix

    assert (prefix.spec.head.pooling, prefix.spec.head.activation) == ("first_token", "tanh")
    shipped = checkpoint.tensors["bert.pooler.dense.bias"].numpy()
    assert (prefix.tensors["head.dense.bias"] == shipped).all()


def test_a_checkpoint_of_other_weights_is_refused_with_their_number(
    bert: Backbone, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.tensors["bert.encoder.layer.1.output.dense.weight"] += 1e-3
    del checkpoint.tensors["bert.embeddings.LayerNorm.weight"]

    said = refusal_of(checkpoint.write(tmp_path), bert)

    assert "another backbone: 2 of " in said
    assert "embeddings.LayerNorm.weight" in said


def test_more_layers_than_the_backbone_has_are_refused(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.tensors["bert.encoder.layer.2.output.dense.weight"] = torch.zeros(2)

    assert "1 are not in it" in refusal_of(checkpoint.write(tmp_path), bert)


def test_another_architecture_is_refused_by_name(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert, "RobertaPrefixForSequenceClassification")

    said = refusal_of(checkpoint.write(tmp_path), bert)

    assert "trained on roberta: the backbone" in said


@pytest.mark.parametrize(
    ("name", "outputs", "expected"),
    [
        ("BertPrefixForSequenceClassification", 2, "sequence_classification"),
        ("BertPrefixForTokenClassification", 2, "token_classification"),
        ("BertPrefixForQuestionAnswering", 2, "question_answering"),
        ("BertPromptForSequenceClassification", 2, "sequence_classification"),
    ],
)
def test_a_class_without_name_is_told_by_its_tensors(
    bert: Backbone, tmp_path: Path, name: str, outputs: int, expected: str
) -> None:
    checkpoint = make_checkpoint(bert, name, outputs=outputs)
    del checkpoint.config["architectures"]
    if expected != "sequence_classification":  # the others were built without a pooler
        for part in ("weight", "bias"):
            del checkpoint.tensors[f"bert.pooler.dense.{part}"]

    spec = import_ptuning_v2(checkpoint.write(tmp_path), bert, ImportOptions()).prefix.spec

    assert spec.task_type == expected
    assert spec.method == ("prompt" if "Prompt" in name else "prefix")


def test_one_output_without_a_class_name_is_ambiguous(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert, outputs=1)
    del checkpoint.config["architectures"]

    assert "multiple_choice or to a regression" in refusal_of(checkpoint.write(tmp_path), bert)


def test_a_regression_needs_no_label(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert, outputs=1)
    checkpoint.config["id2label"] = {"0": "LABEL_0"}

    spec = import_ptuning_v2(checkpoint.write(tmp_path), bert, ImportOptions()).prefix.spec

    assert (spec.problem_type, spec.labels) == ("regression", ("score",))


def test_labels_that_only_count_must_be_given(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.config["id2label"] = {"0": "LABEL_0", "1": "LABEL_1"}
    folder = checkpoint.write(tmp_path)

    assert "give the names of all 2, in order (--labels)" in refusal_of(folder, bert)
    assert (
        import_ptuning_v2(folder, bert, ImportOptions(labels=LABELS)).prefix.spec.labels == LABELS
    )


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"architectures": ["BertForSequenceClassification"]}, "a class of P-tuning v2"),
        ({"pre_seq_len": 10**15}, "pre_seq_len is '1000000000000000', found '4'"),
        ({"pre_seq_len": True}, "pre_seq_len is 'True', found '4'"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is '1000000000', found '2'"),
        ({"hidden_size": 10**12}, "hidden_size is"),
        ({"num_attention_heads": 64}, "num_attention_heads is '64'"),
        ({"model_type": "roberta"}, "model_type is 'roberta', found 'bert'"),
        ({"prefix_projection": True}, "prefix_projection is 'True', found 'False'"),
        ({"architectures": [], "model_type": "gpt2"}, "model_type 'gpt2'"),
    ],
)
def test_a_config_that_does_not_fit_its_tensors_is_refused(
    bert: Backbone, tmp_path: Path, config: dict[str, Any], reason: str
) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.config |= config

    assert reason in refusal_of(checkpoint.write(tmp_path), bert)


def test_sizes_that_a_config_claims_are_never_allocated(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.config |= {"vocab_size": 10**12, "intermediate_size": 10**12}

    spec = import_ptuning_v2(checkpoint.write(tmp_path), bert, ImportOptions()).prefix.spec

    assert spec.backbone == bert.fingerprint


@pytest.mark.parametrize(
    "name", ["BertPrefixForTokenClassification", "BertPrefixForSequenceClassification"]
)
def test_a_prefix_with_its_head_alone_is_taken(bert: Backbone, tmp_path: Path, name: str) -> None:
    checkpoint = make_checkpoint(bert, name)
    whole = import_ptuning_v2(checkpoint.write(tmp_path / "whole"), bert, ImportOptions())
    checkpoint.tensors = {
        name: x for name, x in checkpoint.tensors.items() if not name.startswith("bert.")
    }

    alone = import_ptuning_v2(checkpoint.write(tmp_path / "alone"), bert, ImportOptions())

    assert alone.prefix.spec.head == whole.prefix.spec.head
    assert alone.prefix.tensors.keys() == whole.prefix.tensors.keys()
    for key, tensor in whole.prefix.tensors.items():
        np.testing.assert_array_equal(alone.prefix.tensors[key], tensor)
    assert any("only the prefix and its head" in line for line in alone.report.not_carried_over)


def test_a_prefix_alone_needs_its_class_named(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.tensors = {
        name: x for name, x in checkpoint.tensors.items() if not name.startswith("bert.")
    }
    del checkpoint.config["architectures"]

    assert "set architectures in config.json" in refusal_of(checkpoint.write(tmp_path), bert)


def test_a_pooler_that_was_saved_nowhere_is_missed(tmp_path: Path) -> None:
    folder = make_backbone_folder(tmp_path / "backbone", "roberta")
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        kept = {name: x for name, x in tensors.items() if "pooler" not in name}
        save_file(kept, file, metadata={"format": "pt"})
    roberta = load_backbone(folder, device="cpu")
    checkpoint = make_checkpoint(roberta, "RobertaPrefixForSequenceClassification")
    checkpoint.tensors = {
        name: x for name, x in checkpoint.tensors.items() if not name.startswith("roberta.")
    }

    said = refusal_of(checkpoint.write(tmp_path / "checkpoint"), roberta)

    assert "the backbone's pooler, which" in said


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_that_were_wrapped_are_read(bert: Backbone, tmp_path: Path, wrapper: str) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.tensors = {f"{wrapper}{name}": x for name, x in checkpoint.tensors.items()}

    imported = import_ptuning_v2(checkpoint.write(tmp_path), bert, ImportOptions())

    assert any("frozen tensors" in line for line in imported.report.found)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_stored_in_another_type_are_those_of_the_backbone(
    bert: Backbone, tmp_path: Path, dtype: torch.dtype
) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.tensors = {
        name: x.to(dtype) if x.is_floating_point() else x for name, x in checkpoint.tensors.items()
    }

    imported = import_ptuning_v2(checkpoint.write(tmp_path / "same"), bert, ImportOptions())

    assert imported.prefix.spec.head.pooling == "pooler"
    assert any(str(dtype).removeprefix("torch.") in line for line in imported.report.found)
    checkpoint.tensors["bert.encoder.layer.1.output.dense.weight"] += 0.25
    assert "another backbone: 1 of" in refusal_of(checkpoint.write(tmp_path / "other"), bert)


def test_weights_rounded_to_whole_numbers_are_not_those_of_the_backbone(
    bert: Backbone, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(bert)
    name = "bert.encoder.layer.1.output.dense.weight"
    checkpoint.tensors[name] = checkpoint.tensors[name].to(torch.int8)

    assert "another backbone: 1 of" in refusal_of(checkpoint.write(tmp_path), bert)


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("prefix_encoder.embedding.weight", (4, 100), "expected 128 numbers"),
        ("prefix_encoder.embedding.weight", (128,), "found shape (128,)"),
        ("prefix_encoder.embedding.weight", (0, 128), "expected 1 to 1024 rows"),
        ("prefix_encoder.embedding.weight", (2000, 128), "expected 1 to 1024 rows"),
        ("classifier.weight", (0, 32), "classifier.weight: expected"),
        ("classifier.weight", (32,), "classifier.weight: expected"),
        ("classifier.bias", (3,), "classifier.bias: expected shape (2,)"),
    ],
)
def test_tensors_of_other_shapes_are_refused_by_name(
    bert: Backbone, tmp_path: Path, name: str, shape: tuple[int, ...], reason: str
) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.tensors[name] = torch.zeros(shape)

    assert reason in refusal_of(checkpoint.write(tmp_path), bert)


def test_a_head_of_another_width_is_refused(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.tensors["classifier.weight"] = torch.zeros(2, 16)

    with pytest.raises(PrefixRejected, match=r"head.output.weight: expected shape \(2, 32\)"):
        import_ptuning_v2(checkpoint.write(tmp_path), bert, ImportOptions())


def test_numbers_that_are_none_are_refused(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert)
    checkpoint.tensors["prefix_encoder.embedding.weight"][1, 1] = torch.nan

    with pytest.raises(PrefixRejected, match="1 NaN or infinite"):
        import_ptuning_v2(checkpoint.write(tmp_path), bert, ImportOptions())


def test_a_missing_prefix_is_told_with_what_is_there(bert: Backbone, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(bert)
    del checkpoint.tensors["prefix_encoder.embedding.weight"]

    assert "prefix_encoder.embedding.weight is missing" in refusal_of(
        checkpoint.write(tmp_path), bert
    )


@pytest.mark.parametrize(("is_biased", "offset"), [(False, 0), (True, PREFIX_LENGTH), (None, 4)])
def test_deberta_moves_texts_only_where_it_counts_positions(
    tmp_path: Path, offset: int, *, is_biased: bool | None
) -> None:
    folder = make_backbone_folder(tmp_path / "backbone", "deberta-v2")
    backbone = load_backbone(folder, device="cpu")
    checkpoint = make_checkpoint(backbone, "DebertaV2PrefixForTokenClassification")
    if is_biased is not None:
        checkpoint.config["position_biased_input"] = is_biased

    spec = import_ptuning_v2(
        checkpoint.write(tmp_path / "checkpoint"), backbone, ImportOptions()
    ).prefix.spec

    assert spec.position_offset == offset
