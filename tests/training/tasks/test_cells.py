"""The cells of a row: problems have the same message wherever a defect is found."""

import json
from pathlib import Path

from training.errors import DataProblem
from training.files.json_rows import jsonl_rows
from training.files.rows import Row
from training.tasks.cells import read_list, read_text

FILE = Path("rows.jsonl")


def test_half_of_a_surrogate_pair_has_one_message() -> None:
    problems: list[DataProblem] = []
    assert read_text(Row(FILE, 1, {"a": "\ud800"}), "a", problems) is None
    assert read_list(Row(FILE, 1, {"a": ["x", "\ud800"]}), "a", problems) == ()
    assert [*problems, *jsonl_rows(FILE, json.dumps({"a": "\ud800"}))] == [
        DataProblem(
            FILE,
            1,
            "'a': expected text, found half of a surrogate pair, which is not valid Unicode",
        )
    ] * 3
