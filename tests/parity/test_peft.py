"""Adapters that PEFT saves, imported, and prefixes that PEFT loads, against PEFT's own outputs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from prefixes import HeadSpec, InputTemplate, Prefix
from prefixes.backbone import Backbone, EncodedText, load_backbone, pool_of, run_mixed
from prefixes.interop.assembly import ImportOptions
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.peft import import_peft
from prefixes.interop.peft_export import export_peft
from prefixes.interop.peft_format import MODEL_TYPES
from prefixes.spec import TaskType
from tests.factories import make_backbone_folder, make_prefix

peft = pytest.importorskip("peft", reason="peft is not installed")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"  # peft asks transformers
)

TASKS: dict[str, tuple[TaskType, str]] = {
    "SEQ_CLS": ("sequence_classification", "AutoModelForSequenceClassification"),
    "TOKEN_CLS": ("token_classification", "AutoModelForTokenClassification"),
    "QUESTION_ANS": ("question_answering", "AutoModelForQuestionAnswering"),
}
LABELS = ("O", "B-thing", "I-thing")
PREFIX_LENGTH = 6
TOKENS = ([2, 9, 17, 30, 3], [2, 11, 3], [2, *range(7, 50), 3])


@pytest.fixture(scope="module", params=sorted(MODEL_TYPES))
def backbone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, linear_kernel: str
) -> Backbone:
    folder = tmp_path_factory.mktemp("peft") / request.param
    make_backbone_folder(folder, request.param, seed=5)
    return load_backbone(folder, device="cpu", linear_kernel=linear_kernel)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = tmp_path_factory.mktemp("peft") / "bert"
    return load_backbone(make_backbone_folder(folder, "bert", seed=5), device="cpu")


def plain_model(backbone: Backbone, task: str) -> Any:
    """Transformers' own model for the task, with the backbone's weights and a random head."""
    torch.manual_seed(0)
    auto = getattr(transformers, TASKS[task][1])
    num_labels = 2 if task == "QUESTION_ANS" else len(LABELS)
    return auto.from_pretrained(backbone.model.config._name_or_path, num_labels=num_labels).eval()


def trained(backbone: Backbone, task: str, *, projects: bool) -> Any:
    config = peft.PrefixTuningConfig(
        task_type=task,
        num_virtual_tokens=PREFIX_LENGTH,
        prefix_projection=projects,
        encoder_hidden_size=24 if projects else None,
    )
    model = peft.get_peft_model(plain_model(backbone, task), config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter.normal_(0, 0.3)
    return model


def has_types(backbone: Backbone) -> bool:
    return int(backbone.model.config.type_vocab_size) > 1


def texts_of(backbone: Backbone) -> list[EncodedText]:
    """Texts of two parts, where they are told apart."""
    second = int(has_types(backbone))
    return [EncodedText(tokens, [0, *[second] * (len(tokens) - 1)]) for tokens in TOKENS]


def as_encoded_for(prefix: Prefix, text: EncodedText) -> EncodedText:
    """The text as `TextEncoder` gives it to a prefix."""
    return (
        text if prefix.spec.token_types else replace(text, token_type_ids=[0] * len(text.token_ids))
    )


def outputs_of(model: Any, text: EncodedText) -> Tensor:
    with torch.no_grad():
        outputs = model(
            input_ids=torch.tensor([text.token_ids]),
            token_type_ids=torch.tensor([text.token_type_ids]),
            attention_mask=torch.ones(1, len(text.token_ids), dtype=torch.int64),
        )
    if "logits" in outputs:
        logits: Tensor = outputs.logits[0]
        return logits
    return torch.stack((outputs.start_logits[0], outputs.end_logits[0]), dim=-1)


def assert_equal_outputs(backbone: Backbone, prefix: Prefix, model: Any) -> None:
    pool, (resident,) = pool_of(backbone, [prefix])
    texts = texts_of(backbone)
    work = [(as_encoded_for(prefix, text), resident) for text in texts]
    mine = run_mixed(backbone, pool, work)
    for text, values in zip(texts, mine, strict=True):
        torch.testing.assert_close(values, outputs_of(model, text), atol=1e-5, rtol=0)


def wishes_of(task: str) -> ImportOptions:
    return ImportOptions(labels=None if task == "QUESTION_ANS" else LABELS, max_length=64)


@pytest.mark.parametrize("projects", [False, True], ids=["plain", "with-projection"])
@pytest.mark.parametrize("task", TASKS)
def test_an_imported_adapter_gives_the_logits_of_peft(
    backbone: Backbone, tmp_path: Path, task: str, *, projects: bool
) -> None:
    model = trained(backbone, task, projects=projects)
    model.save_pretrained(tmp_path)

    imported = import_peft(tmp_path, backbone, wishes_of(task))

    assert imported.prefix.spec.task_type == TASKS[task][0]
    assert imported.prefix.spec.position_offset == PREFIX_LENGTH
    assert bool(imported.report.folded) == projects
    goes_without = task == "QUESTION_ANS" and has_types(backbone)
    assert imported.prefix.spec.token_types == (not goes_without)
    assert any("token types" in sentence for sentence in imported.report.found) == goes_without
    assert_equal_outputs(backbone, imported.prefix, model)


def test_the_position_offset_is_what_makes_them_equal(backbone: Backbone, tmp_path: Path) -> None:
    model = trained(backbone, "SEQ_CLS", projects=False)
    model.save_pretrained(tmp_path)
    prefix = import_peft(tmp_path, backbone, wishes_of("SEQ_CLS")).prefix
    unshifted = Prefix(prefix.spec.model_copy(update={"position_offset": 0}), prefix.tensors)

    with pytest.raises(AssertionError):
        assert_equal_outputs(backbone, unshifted, model)


@pytest.mark.parametrize("task", TASKS)
def test_an_exported_prefix_gives_its_logits_in_peft(
    backbone: Backbone, tmp_path: Path, task: str
) -> None:
    saved = tmp_path / "first"
    trained(backbone, task, projects=False).save_pretrained(saved)
    prefix = import_peft(saved, backbone, wishes_of(task)).prefix
    random = make_prefix(
        backbone.fingerprint,
        seed=8,
        **{
            name: getattr(prefix.spec, name)
            for name in (
                "task_type",
                "labels",
                "prefix_length",
                "position_offset",
                "head",
                "token_types",
            )
        },
    )

    sentences = export_peft(random, tmp_path / "second", backbone)

    assert TASKS[task][1] in sentences[0]
    model = peft.PeftModel.from_pretrained(plain_model(backbone, task), tmp_path / "second")
    assert_equal_outputs(backbone, random, model.eval())


@pytest.mark.parametrize(
    ("task_type", "token_types"), [("question_answering", True), ("sequence_classification", False)]
)
def test_a_prefix_that_sees_other_token_types_than_peft_is_not_exported(
    bert: Backbone, tmp_path: Path, task_type: str, *, token_types: bool
) -> None:
    pooling = "every_token" if task_type == "question_answering" else "pooler"
    head = HeadSpec.model_validate({"pooling": pooling})
    prefix = make_prefix(bert.fingerprint, task_type=task_type, token_types=token_types, head=head)

    with pytest.raises(ConversionRefused, match="token types"):
        export_peft(prefix, tmp_path, bert)


def test_an_export_reads_back_as_the_same_tensors(bert: Backbone, tmp_path: Path) -> None:
    prefix = make_prefix(bert.fingerprint, head=HeadSpec(pooling="pooler"))

    export_peft(prefix, tmp_path, bert)

    again = import_peft(tmp_path, bert, ImportOptions(labels=prefix.spec.labels)).prefix
    assert again.tensors.keys() == prefix.tensors.keys()
    for name, tensor in prefix.tensors.items():
        assert (again.tensors[name] == tensor).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"head": HeadSpec(pooling="mean")}, "mean"),
        ({"head": HeadSpec(pooling="first_token", activation="tanh")}, "first_token"),
        ({"position_offset": 0, "head": HeadSpec(pooling="pooler")}, "position 0"),
        ({"method": "prompt", "head": HeadSpec(pooling="pooler")}, "shallow prompt"),
        (
            {"method": "vectors", "head": HeadSpec(pooling="pooler")},
            "it has vectors, which PEFT does not read",
        ),
        ({"method": "head", "head": HeadSpec(pooling="pooler")}, "head without a prefix"),
        ({"task_type": "embedding"}, "not support the task type embedding"),
        (
            {
                "task_type": "multiple_choice",
                "input": InputTemplate(text="{premise}", text_pair="{choice}"),
            },
            "not support the task type multiple_choice",
        ),
    ],
)
def test_what_peft_cannot_express_is_refused_with_the_reason(
    bert: Backbone, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    prefix = make_prefix(bert.fingerprint, **changes)

    with pytest.raises(ConversionRefused, match=reason):
        export_peft(prefix, tmp_path / "folder", bert)

    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("architecture", ["deberta-v2", "distilbert", "albert", "mpnet"])
def test_architectures_that_peft_cannot_run_are_refused_both_ways(
    bert: Backbone, tmp_path: Path, architecture: str
) -> None:
    folder = make_backbone_folder(tmp_path / "backbone", architecture)
    other = load_backbone(folder, device="cpu")
    trained(bert, "SEQ_CLS", projects=False).save_pretrained(tmp_path / "adapter")

    with pytest.raises(ConversionRefused, match=f"PEFT does not apply prefixes to {architecture}"):
        import_peft(tmp_path / "adapter", other, wishes_of("SEQ_CLS"))
    with pytest.raises(ConversionRefused, match=f"PEFT does not apply prefixes to {architecture}"):
        export_peft(make_prefix(other.fingerprint), tmp_path / "out", other)


def test_other_kinds_of_adapter_are_refused_by_name(bert: Backbone, tmp_path: Path) -> None:
    config = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4)
    peft.get_peft_model(plain_model(bert, "SEQ_CLS"), config).save_pretrained(tmp_path)

    with pytest.raises(ConversionRefused, match=r"PROMPT_TUNING: expected PREFIX_TUNING"):
        import_peft(tmp_path, bert, wishes_of("SEQ_CLS"))


@pytest.mark.parametrize(
    "change",
    [
        {"num_virtual_tokens": 20},
        {"num_layers": 12},
        {"num_attention_heads": 64},
        {"token_dim": 768},
        {"num_transformer_submodules": 2},
    ],
)
def test_sizes_that_the_tensors_contradict_are_refused(
    bert: Backbone, tmp_path: Path, change: dict[str, int]
) -> None:
    config = peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4)
    peft.get_peft_model(plain_model(bert, "SEQ_CLS"), config).save_pretrained(tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_bytes()), **change}))

    ((name, size),) = change.items()
    with pytest.raises(ConversionRefused, match=f"contradicts the tensors.*{name} is '{size}'"):
        import_peft(tmp_path, bert, ImportOptions(labels=LABELS))


def test_an_adapter_for_another_size_is_refused_with_both_sizes(
    bert: Backbone, tmp_path: Path
) -> None:
    small = transformers.BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    config = peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4)
    model = transformers.BertForSequenceClassification(small)
    peft.get_peft_model(model, config).save_pretrained(tmp_path)

    with pytest.raises(ConversionRefused, match=r"expected 128 numbers .* found 32"):
        import_peft(tmp_path, bert, wishes_of("SEQ_CLS"))


def test_other_trained_modules_are_refused(bert: Backbone, tmp_path: Path) -> None:
    config = peft.PrefixTuningConfig(
        task_type="SEQ_CLS", num_virtual_tokens=4, modules_to_save=["pooler"]
    )
    peft.get_peft_model(plain_model(bert, "SEQ_CLS"), config).save_pretrained(tmp_path)

    with pytest.raises(
        ConversionRefused, match=r"2 tensors in addition to prefix and head.*pooler"
    ):
        import_peft(tmp_path, bert, wishes_of("SEQ_CLS"))


def test_labels_must_be_given_for_peft_saves_none(bert: Backbone, tmp_path: Path) -> None:
    trained(bert, "SEQ_CLS", projects=False).save_pretrained(tmp_path)

    with pytest.raises(ConversionRefused, match="give the names of all 3"):
        import_peft(tmp_path, bert, ImportOptions())
    with pytest.raises(ConversionRefused, match="3 outputs: expected as many labels, found 2"):
        import_peft(tmp_path, bert, ImportOptions(labels=("a", "b")))
