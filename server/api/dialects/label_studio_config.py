"""The labeling interface of a Label Studio project: which tag takes the answers of a task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

from prefixes.errors import InputRejected
from prefixes.spec import PrefixSpec

_TAGS: Final[Mapping[str, str]] = {"label": "Choices", "labels": "Choices", "value": "Number",
                                   "entities": "Labels"}  # fmt: skip
"""The tag that takes an answer, by its member."""
_MAX_CHARACTERS: Final = 1_000_000
"""Thousands of labels. A parsed interface takes many times its size in memory."""
_OPTIONS: Final[Mapping[str, str]] = {"Choices": "Choice", "Labels": "Label"}


@dataclass(frozen=True, slots=True)
class Control:
    """A tag that takes answers: its name, the object that it labels, and the allowed labels.

    `variable` is the key of the task's data that the object shows.
    """

    kind: str
    name: str
    to_name: str
    variable: str
    options: frozenset[str]

    def allows(self, label: str) -> bool:
        """Return whether the interface offers a label. Without options, it takes any."""
        return not self.options or label in self.options

    def region(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return a region of a pre-annotation."""
        return {
            "from_name": self.name,
            "to_name": self.to_name,
            "type": self.kind.lower(),
            "value": dict(value),
        }


def control_for(member: str, config: str) -> Control:
    """Find the tag of a labeling interface that takes the answers of a task.

    Raises:
        InputRejected: when it is not valid, or has no such tag.
    """
    kind = _TAGS.get(member)
    if kind is None:
        raise InputRejected(
            "Tasks of this type cannot be labeled in Label Studio. Use a classification, a "
            "regression with one number, or a token classification."
        )
    root = _parsed(config)
    found = next(root.iter(kind), None)
    if found is None:
        raise InputRejected(f"`label_config` has no <{kind}>, which the answers of the task need.")
    name, to_name = found.get("name", ""), found.get("toName", "").split(",")[0]
    shown = next((one for one in root.iter() if one.get("name") == to_name), None)
    value = "" if shown is None else shown.get("value", "")
    if not name or not value.startswith("$"):
        raise InputRejected(
            f"`label_config`: the <{kind}> needs a `name`, and a `toName` that names a tag with "
            "a `value` such as $text."
        )
    options = (one.get("value", "") for one in found.iter(_OPTIONS.get(kind, "")))
    return Control(kind, name, to_name, value.removeprefix("$"), frozenset(filter(None, options)))


def fields_of(
    spec: PrefixSpec, data: Mapping[str, Any], variable: str
) -> dict[str, str | Sequence[str]]:
    """Return the input of a task from the data of a task in Label Studio.

    Data with all fields of the task is taken by their names. For a task with one field, the text
    that the labeled object shows will do.

    Raises:
        InputRejected: when neither is there.
    """
    names = spec.input.fields
    if all(name in data for name in names):
        found = {name: data[name] for name in names}
    elif len(names) == 1 and variable in data:
        found = {names[0]: data[variable]}
    else:
        raise InputRejected(
            f"The data of a task in Label Studio has the keys {', '.join(sorted(data))[:200]}; "
            f"expected {', '.join(names)}."
        )
    for name, value in found.items():
        if not isinstance(value, str):
            raise InputRejected(f"`data.{name}` must be a text.")
    return found


def _parsed(config: str) -> ET.Element:
    if len(config) > _MAX_CHARACTERS:
        raise InputRejected(
            f"`label_config` has {len(config)} characters; at most {_MAX_CHARACTERS} are allowed."
        )
    if "<!" in config.replace("<!--", ""):
        # Entities could expand without bound.
        raise InputRejected("`label_config` must not have a document type or CDATA.")
    try:
        return ET.fromstring(config)  # noqa: S314 - without a document type, there are no entities
    except (ET.ParseError, ValueError) as error:
        raise InputRejected(f"`label_config` is not valid XML: {error}.") from error
