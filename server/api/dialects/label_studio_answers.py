"""Answers as regions of Label Studio, and regions of annotations as right answers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from prefixes.errors import InputRejected
from server.api.dialects.label_studio_config import Control
from server.feedback.contents import Answer

_UTF_16: Final = "utf-16-le"
_UNIT_BYTES: Final = 2


def regions_of(control: Control, answer: Answer, text: str) -> list[dict[str, Any]]:
    """Return the regions of a pre-annotation. Labels that the interface lacks are left out."""
    (member,) = answer
    match member:
        case "label" | "labels":
            labels = answer[member] if member == "labels" else [answer[member]]
            chosen = [label for label in labels if control.allows(label)]
            return [control.region({"choices": chosen})] if chosen else []
        case "value":
            return [control.region({"number": answer[member]})]
        case _:
            return [
                control.region(
                    {
                        "start": one["start"],
                        "end": one["end"],
                        "text": text[one["start"] : one["end"]],
                        "labels": [one["label"]],
                    }
                )
                for one in answer[member]
                if control.allows(one["label"])
            ]


def right_answer(
    member: str, control: Control, regions: Sequence[Mapping[str, Any]], text: str
) -> dict[str, Any]:
    """Return the right answer that an annotation gives.

    Raises:
        InputRejected: when the annotation has no answer of this kind.
    """
    values: list[dict[str, Any]] = [
        value
        for one in regions
        if one.get("from_name") == control.name and isinstance(value := one.get("value"), dict)
    ]
    try:
        match member:
            case "entities":
                return {"entities": [_entity(value, text) for value in values]}
            case "value":
                return {"value": float(values[0]["number"])}
            case "labels":
                return {"labels": [str(one) for value in values for one in value["choices"]]}
            case _:
                (label,) = values[0]["choices"]
                return {"label": str(label)}
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise InputRejected(
            f"The annotation has no valid answer of <{control.kind} name={control.name!r}>."
        ) from error


def _entity(value: Mapping[str, Any], text: str) -> dict[str, Any]:
    start, end = int(value["start"]), int(value["end"])
    (label,) = value["labels"]
    quoted = value.get("text")
    if isinstance(quoted, str) and text[start:end] != quoted:
        start, end = _as_characters(text, start, end, quoted)
    return {"start": start, "end": end, "label": str(label)}


def _as_characters(text: str, start: int, end: int, quoted: str) -> tuple[int, int]:
    """Convert offsets in UTF-16 units, as some versions of Label Studio count, to characters."""
    units = text.encode(_UTF_16)
    found = units[_UNIT_BYTES * start : _UNIT_BYTES * end]
    if found != quoted.encode(_UTF_16):
        raise ValueError("the text of a region is not at its offsets")
    first = len(units[: _UNIT_BYTES * start].decode(_UTF_16))
    return first, first + len(quoted)
