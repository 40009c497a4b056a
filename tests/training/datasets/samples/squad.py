"""SQuAD's JSON of both versions, with made-up paragraphs."""

import json
from pathlib import Path
from typing import Any

from tests.training.datasets.samples.facts import facts


def squad(count: int, *, has_unanswerable: bool) -> str:
    """SQuAD's JSON: a paragraph for each noun, with one or two questions."""
    paragraphs = []
    for n, noun, word in facts(count):
        context = f"the {noun} is {word} and my card is lost"
        answer = {"text": noun, "answer_start": 4}
        questions: list[dict[str, Any]] = [
            {"id": f"{n}a", "question": f"  what is {word}", "answers": [answer]}
        ]
        if has_unanswerable:
            questions[0]["is_impossible"] = False
            questions.append(
                {
                    "id": f"{n}b",
                    "question": "who is it",
                    "answers": [],
                    "plausible_answers": [answer],
                    "is_impossible": True,
                }
            )
        paragraphs.append({"context": context, "qas": questions})
    return json.dumps({"version": "v", "data": [{"title": "t", "paragraphs": paragraphs}]})


def write_squad(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    version, is_second = ("v2.0", True) if name == "squad_v2" else ("v1.1", False)
    for part, count in (("train", 8), ("dev", 4)):
        text = squad(count, has_unanswerable=is_second)
        (folder / f"{part}-{version}.json").write_text(text, encoding="utf-8")
    return folder
