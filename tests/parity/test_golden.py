"""Checkpoints of the original P-tuning v2 code, imported, against what that code computed.

The tensors lie beside the repository and are not part of it; see the README there.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from prefixes import Prefix
from prefixes.backbone import (
    Backbone,
    EncodedText,
    PackedBatch,
    ResidentPrefix,
    load_backbone,
    pool_of,
    run_mixed,
)
from prefixes.interop.flat import flat_of
from prefixes.interop.parts import Wishes
from prefixes.interop.ptuning_v2 import import_ptuning_v2
from tests.parity.tokenizer import borrow_tokenizer

GOLDEN: Final = Path(__file__).parents[2].parent / "shared" / "golden"
CASES: Final = sorted(folder.parent.name for folder in GOLDEN.glob("*/case.json"))
ABSENT: Final = "the golden tensors of the original code are not beside the repository"
TOLERANCE: Final = 2e-5


@dataclass(frozen=True)
class Case:
    """One of the original's models: its backbone, the import of it, and what it computed."""

    facts: dict[str, Any]
    backbone: Backbone
    prefix: Prefix
    expected: dict[str, Tensor]
    texts: list[EncodedText]

    def rows_of(self, name: str) -> Tensor:
        """Expected values, one row for each text: choices count as texts of their own."""
        tensor = self.expected[name]
        is_choices = self.facts["task"] == "multiple_choice"
        return tensor.flatten(0, 1) if is_choices else tensor


@pytest.fixture(
    scope="module",
    params=[*map(pytest.param, CASES)] or [pytest.param("", marks=pytest.mark.skip(ABSENT))],
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    source = GOLDEN / request.param
    facts = json.loads((source / "case.json").read_text())
    folder = tmp_path_factory.mktemp("golden")
    borrow_tokenizer(folder)
    for file in ("config.json", "model.safetensors"):
        shutil.copyfile(source / "backbone" / file, folder / file)
    backbone = load_backbone(folder, device="cpu")
    is_labelled = facts["task"] in {"sequence_classification", "token_classification"}
    numbered = tuple(map(str, range(facts["num_labels"])))
    wishes = Wishes(labels=numbered if is_labelled and not named_labels(facts) else None)
    return Case(
        facts,
        backbone,
        import_ptuning_v2(source / "checkpoint", backbone, wishes).prefix,
        load_file(source / "expected.safetensors"),
        texts_of(load_file(source / "inputs.safetensors")),
    )


def named_labels(facts: dict[str, Any]) -> list[str]:
    """The labels that the original saved with names; a SRL task and a regression have none."""
    labels: list[str] = facts["labels"] or []
    return [] if labels[:1] == ["LABEL_0"] else labels


def texts_of(inputs: dict[str, Tensor]) -> list[EncodedText]:
    ids = inputs["input_ids"].flatten(0, -2)
    masks = inputs["attention_mask"].flatten(0, -2)
    types = inputs.get("token_type_ids", torch.zeros_like(inputs["input_ids"])).flatten(0, -2)
    return [
        EncodedText(tokens[:length].tolist(), kinds[:length].tolist())
        for tokens, kinds, length in zip(ids, types, masks.sum(1).tolist(), strict=True)
    ]


def hidden_states(case: Case, resident: ResidentPrefix | None, pool: Tensor) -> list[Tensor]:
    """The last hidden states of each text, of the prompt's positions before it, too."""
    offset = 0 if resident is None else resident.spec.position_offset
    rows = [
        case.backbone.row(
            text,
            position_offset=offset,
            slots=() if resident is None else resident.slots,
            prompt=None if resident is None else resident.prompt,
        )
        for text in case.texts
    ]
    with torch.no_grad():
        hidden = case.backbone(PackedBatch.pack(rows), pool)
    return list(torch.split(hidden, [row.num_tokens for row in rows]))


def assert_rows(mine: Sequence[Tensor], theirs: Tensor) -> None:
    """Compare where there is content; behind it, the original's rows are padded."""
    for row, expected in zip(mine, theirs, strict=True):
        torch.testing.assert_close(row, expected[: len(row)], atol=TOLERANCE, rtol=0)


def test_hidden_states_equal_the_originals(case: Case) -> None:
    pool, (resident,) = pool_of(case.backbone, [case.prefix])

    hidden = hidden_states(case, resident, pool)

    num_prompt = 0 if resident.prompt is None else len(resident.prompt)
    assert_rows([rows[num_prompt:] for rows in hidden], case.rows_of("last_hidden_state"))
    if num_prompt:
        first = torch.stack([rows[0] for rows in hidden])
        torch.testing.assert_close(
            first, case.rows_of("first_prompt_hidden_state"), atol=TOLERANCE, rtol=0
        )


def test_hidden_states_without_prefix_equal_the_originals(case: Case) -> None:
    hidden = hidden_states(case, None, case.backbone.empty_pool(1))

    assert_rows(hidden, case.rows_of("no_prefix_last_hidden_state"))


def test_outputs_equal_the_originals_in_one_batch(case: Case) -> None:
    pool, (resident,) = pool_of(case.backbone, [case.prefix])

    outputs = run_mixed(case.backbone, pool, [(text, resident) for text in case.texts])

    match case.facts["task"]:
        case "question_answering":
            for place, name in enumerate(("start_logits", "end_logits")):
                assert_rows([values[:, place] for values in outputs], case.rows_of(name))
        case "token_classification":
            assert_rows(outputs, case.rows_of("logits"))
        case "multiple_choice":
            expected = case.expected["logits"].flatten()[:, None]
            torch.testing.assert_close(torch.stack(outputs), expected, atol=TOLERANCE, rtol=0)
        case _:
            expected = case.expected["logits"]
            torch.testing.assert_close(torch.stack(outputs), expected, atol=TOLERANCE, rtol=0)


def test_outputs_do_not_depend_on_what_else_is_in_the_batch(case: Case) -> None:
    pool, (resident,) = pool_of(case.backbone, [case.prefix])
    together = run_mixed(case.backbone, pool, [(text, resident) for text in case.texts])

    for text, expected in zip(case.texts, together, strict=True):
        (alone,) = run_mixed(case.backbone, pool, [(text, resident)])
        torch.testing.assert_close(alone, expected, atol=TOLERANCE, rtol=0)


def test_the_imported_tensors_are_those_the_original_gave_its_backbone(case: Case) -> None:
    tensors = {name: torch.from_numpy(x) for name, x in case.prefix.tensors.items()}
    if case.facts["method"] == "prompt":
        mine = {"prompt_embeddings": tensors["prompt.embeddings"]}
    else:
        keys, values = tensors["prefix.keys"], tensors["prefix.values"]
        mine = {
            "prefix_flat": flat_of(keys, values),
            "past_key_values": torch.stack((keys, values), dim=1),
        }

    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, case.expected[name], atol=1e-6, rtol=0)


def test_the_import_keeps_what_the_checkpoint_says_of_the_task(case: Case) -> None:
    spec = case.prefix.spec

    assert spec.task_type == case.facts["task"]
    assert spec.method == case.facts["method"]
    assert spec.prefix_length == case.facts["pre_seq_len"]
    if named_labels(case.facts):
        assert list(spec.labels) == named_labels(case.facts)
    if case.facts["method"] == "prefix" and case.facts["arch"] in {"bert", "roberta"}:
        assert spec.position_offset == spec.prefix_length
    assert spec.max_length >= max(len(text.token_ids) for text in case.texts)
