"""Checkpoints of the original P-tuning v2 code, imported, against what that code computed."""

import json
from collections.abc import Sequence
from typing import Final, get_args

import torch
from torch import Tensor

from prefixes.backbone import ResidentPrefix, pool_of, run_mixed
from prefixes.interop.flat import flat_of
from prefixes.interop.ptuning_v2_classes import MODEL_TYPES
from prefixes.spec import TaskType
from tests.parity.golden import FOLDERS, KEPT, GoldenCase, named_labels

TOLERANCE: Final = 2e-5


def hidden_states(case: GoldenCase, resident: ResidentPrefix | None, pool: Tensor) -> list[Tensor]:
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
        hidden = case.backbone(case.backbone.pack(rows), pool)
    return list(torch.split(hidden, [row.num_tokens for row in rows]))


def assert_rows(mine: Sequence[Tensor], theirs: Tensor) -> None:
    """Compare where there is content; behind it, the original's rows are padded."""
    for row, expected in zip(mine, theirs, strict=True):
        torch.testing.assert_close(row, expected[: len(row)], atol=TOLERANCE, rtol=0)


def test_hidden_states_equal_the_originals(case: GoldenCase) -> None:
    pool, (resident,) = pool_of(case.backbone, [case.prefix])

    hidden = hidden_states(case, resident, pool)

    num_prompt = 0 if resident.prompt is None else len(resident.prompt)
    assert_rows([rows[num_prompt:] for rows in hidden], case.rows_of("last_hidden_state"))
    if num_prompt:
        first = torch.stack([rows[0] for rows in hidden])
        torch.testing.assert_close(
            first, case.rows_of("first_prompt_hidden_state"), atol=TOLERANCE, rtol=0
        )


def test_hidden_states_without_prefix_equal_the_originals(case: GoldenCase) -> None:
    hidden = hidden_states(case, None, case.backbone.empty_pool(1))

    assert_rows(hidden, case.rows_of("no_prefix_last_hidden_state"))


def test_outputs_equal_the_originals_in_one_batch(case: GoldenCase) -> None:
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


def test_outputs_do_not_depend_on_what_else_is_in_the_batch(case: GoldenCase) -> None:
    pool, (resident,) = pool_of(case.backbone, [case.prefix])
    together = run_mixed(case.backbone, pool, [(text, resident) for text in case.texts])

    for text, expected in zip(case.texts, together, strict=True):
        (alone,) = run_mixed(case.backbone, pool, [(text, resident)])
        torch.testing.assert_close(alone, expected, atol=TOLERANCE, rtol=0)


def test_the_imported_tensors_are_those_the_original_gave_its_backbone(case: GoldenCase) -> None:
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


def test_the_import_keeps_what_the_checkpoint_says_of_the_task(case: GoldenCase) -> None:
    spec = case.prefix.spec

    assert spec.task_type == case.facts["task"]
    assert spec.method == case.facts["method"]
    assert spec.prefix_length == case.facts["pre_seq_len"]
    if named_labels(case.facts):
        assert list(spec.labels) == named_labels(case.facts)
    if case.facts["method"] == "prefix" and case.facts["arch"] in {"bert", "roberta"}:
        assert spec.position_offset == spec.prefix_length
    assert spec.max_length >= max(len(text.token_ids) for text in case.texts)


def test_the_kept_cases_cover_each_architecture_and_task_type_in_little_space() -> None:
    kept = [folder for folder in FOLDERS.values() if folder.is_relative_to(KEPT)]
    facts = [json.loads((folder / "case.json").read_text()) for folder in kept]
    files = [path for path in KEPT.rglob("*") if path.is_file()]

    assert {case["arch"] for case in facts} == set(MODEL_TYPES.values())
    assert {case["task"] for case in facts} == set(get_args(TaskType)) - {"embedding"}
    assert {path.suffix for path in files} == {".json", ".md", ".safetensors"}
    assert sum(path.stat().st_size for path in files) <= 2_000_000
