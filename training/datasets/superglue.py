"""SuperGLUE's eight tasks, with the texts of P-tuning v2."""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from training.datasets.dataset import CANDIDATE, Columns, Dataset, Form, Hub, Template, renamed

_HUB: Final = "aps/super_glue"
_CONNECTIVES: Final = {"cause": "because", "effect": "so"}
_FILES: Final = MappingProxyType(
    {
        "train": ("train.jsonl",),
        "validation": ("val.jsonl", "validation.jsonl"),
        "test": ("test.jsonl",),
    }
)
_SPLITS: Final = MappingProxyType({part: part for part in _FILES})
_SINGLE: Final = "single_label_classification"
_FALSE_TRUE: Final = ("False", "True")
_PLAIN: Final = ("text_a", "text_b")


def _copa(columns: Columns, *, text: str, choices: list[Any]) -> Columns:
    """Return a premise, the connective for its cause or effect, and the choices."""
    question = columns.get("question")
    if question not in _CONNECTIVES:
        raise ValueError(f"'question': expected cause or effect, found {question!r:.80}")
    return {
        "premise": columns.get(text),
        "connective": _CONNECTIVES[question],
        "choices": choices,
        "label": columns.get("label"),
    }


def _official_copa(columns: Columns) -> Iterable[Columns]:
    return [
        _copa(columns, text="premise", choices=[columns.get("choice1"), columns.get("choice2")])
    ]


def _plain_copa(columns: Columns) -> Iterable[Columns]:
    return [_copa(columns, text="text_a", choices=columns.get("choices") or [])]


def _wsc(columns: Columns) -> Iterable[Columns]:
    """Return both spans with the text, and the text with asterisks around the second span.

    The official JSONL has the spans in `target`, and the hub has them as columns. The text of a
    plain row is `text_a`.
    """
    target = columns.get("target", columns)
    text = columns.get("text", columns.get("text_a"))
    match target:
        case {"span1_text": str(), "span2_text": str(), "span2_index": int(place)} if isinstance(
            text, str
        ):
            words = text.split()
        case _:
            raise ValueError(
                "expected a text with span1_text, span2_text and span2_index, found "
                f"{dict(columns)!r:.200}"
            )
    if not 0 <= place < len(words):
        raise ValueError(f"'span2_index': expected a word of {len(words)}, found {place}")
    words[place] = f"*{words[place]}*"
    return [
        {
            "text": text,
            "marked_text": " ".join(words),
            "span1_text": target["span1_text"],
            "span2_text": target["span2_text"],
            "label": columns.get("label"),
        }
    ]


def _multirc(columns: Columns) -> Iterator[Columns]:
    """Yield a row for each candidate answer to a question about a passage."""
    match columns["passage"]:
        case {"text": str(paragraph), "questions": list(questions)}:
            pass
        case found:
            raise ValueError(f"'passage': expected text and questions, found {found!r:.200}")
    for question in questions:
        match question:
            case {"question": str(text), "answers": list(answers)}:
                for answer in answers:
                    yield {
                        "paragraph": paragraph,
                        "question": text,
                        "answer": _cell(answer, "text"),
                        "label": _cell(answer, "label"),
                        "idx": {
                            "paragraph": columns.get("idx"),
                            "question": question.get("idx"),
                            "answer": _cell(answer, "idx"),
                        },
                    }
            case found:
                raise ValueError(f"expected question and answers, found {found!r:.200}")


def _official_record(columns: Columns) -> Iterator[Columns]:
    match columns["passage"]:
        case {"text": str(text), "entities": list(entities)}:
            # The end is the index of the last character.
            names = [text[_cell(one, "start") : _cell(one, "end") + 1] for one in entities]
        case found:
            raise ValueError(f"'passage': expected text and entities, found {found!r:.200}")
    for one in columns["qas"]:
        answers = one.get("answers")
        accepted = None if answers is None else [_cell(answer, "text") for answer in answers]
        number = {"passage": columns.get("idx"), "query": one.get("idx")}
        yield from _candidates(text, str(_cell(one, "query")), names, accepted, number)


def _hub_record(columns: Columns) -> Iterator[Columns]:
    yield from _candidates(
        columns["passage"],
        columns["query"],
        columns["entities"],
        columns.get("answers") or None,
        columns.get("idx"),
    )


def _candidates(
    passage: str, query: str, names: list[str], accepted: list[str] | None, number: Any
) -> Iterator[Columns]:
    """Yield a row for each entity of a passage that may fill the gap of a query."""
    if not isinstance(passage, str) or not isinstance(query, str):
        raise TypeError("expected texts in 'passage' and 'query'")
    clean = re.sub(r"@highlight\n", "- ", passage)
    for name in dict.fromkeys(names):
        row = {
            "passage": clean,
            "query": query.replace("@placeholder", name),
            CANDIDATE: {"query": str(number or query), "text": name, "accepted": accepted or []},
            "idx": number,
        }
        yield row if accepted is None else {**row, "label": int(name in accepted)}


def _cell(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected an object with {name!r}, found {value!r:.80}")
    return value.get(name)


def _superglue(name: str, *forms: Form, **more: Any) -> Dataset:
    fields = {"problem_type": _SINGLE} if "task_type" not in more else {}
    settings = {
        "task_type": "sequence_classification",
        "splits": _SPLITS,
        "files": _FILES,
        "hub": Hub(_HUB, name),
        "fields": {**fields, **more.pop("fields", {})},
        **more,
    }
    return Dataset(name=f"superglue/{name}", forms=forms, **settings)


def _pair(name: str, first: str, second: str, labels: tuple[str, ...], **more: Any) -> Dataset:
    """Describe a task of two texts under the names that the official files have for them."""
    return _superglue(
        name,
        Form((first, second), renamed()),
        Form(_PLAIN, renamed(**{first: "text_a", second: "text_b"})),
        labels=labels,
        templates=(Template(f"{{{first}}}", f"{{{second}}}"),),
        **more,
    )


SUPERGLUE: Final = (
    _pair("boolq", "question", "passage", _FALSE_TRUE),
    _pair("cb", "premise", "hypothesis", ("entailment", "contradiction", "neutral")),
    _pair("rte", "premise", "hypothesis", ("entailment", "not_entailment")),
    _superglue(
        "wic",
        Form(("word", "sentence1", "sentence2"), renamed()),
        Form(("word", *_PLAIN), renamed(sentence1="text_a", sentence2="text_b")),
        labels=_FALSE_TRUE,
        templates=(
            Template(
                "{sentence1} {sentence2} Does {word} have the same meaning in both sentences?"
            ),
            Template("{word}: {sentence1}", "{word}: {sentence2}"),
        ),
    ),
    _superglue(
        "wsc",
        Form(("text", "target"), _wsc),
        Form(("text", "span1_text", "span2_text", "span2_index"), _wsc),
        Form(("text_a", "span1_text", "span2_text", "span2_index"), _wsc),
        labels=_FALSE_TRUE,
        templates=(
            Template("{span2_text}: {text}", "{span1_text}"),
            Template("{marked_text}", "{span1_text}"),
        ),
    ),
    _superglue(
        "copa",
        Form(("premise", "choice1", "choice2", "question"), _official_copa),
        Form(("text_a", "choices", "question"), _plain_copa),
        task_type="multiple_choice",
        templates=(Template("{premise} {connective}", "{choice}"),),
    ),
    _superglue(
        "record",
        Form(("passage", "qas"), _official_record),
        Form(("passage", "query", "entities"), _hub_record),
        labels=("0", "1"),
        templates=(Template("{passage}", "{query}"),),
        fields={"select_by": "query_f1"},
    ),
    _superglue(
        "multirc",
        Form(("paragraph", "question", "answer"), renamed()),
        Form(("passage",), _multirc),
        labels=_FALSE_TRUE,
        templates=(Template("{paragraph}", "{question} {answer}"),),
        fields={"select_by": "f1"},
    ),
)
