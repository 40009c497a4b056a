"""The versions that the names of models stand for in one file, from its first row to its last."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from prefixes.atomic import write_atomically
from prefixes.names import PrefixRef
from prefixes.spec import AliasRuleSet

MAX_MODELS: Final = 10_000
"""Maximum number of different models that a file names."""


@dataclass(frozen=True, slots=True)
class FixedModel:
    """The version that answers the rows that name a model, under the rules of its alias.

    `problem` is the error of all these rows if there is no such version.
    """

    ref: PrefixRef | None = None
    rules: AliasRuleSet | None = None
    problem: Mapping[str, Any] | None = None


class FixedModels(dict[str | None, FixedModel]):
    """The version of each name; None is the model of rows that do not name one."""

    def save(self, path: Path) -> None:
        """Write the versions, so that the file is answered by the same ones after a restart.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        entries = [
            {
                "name": name,
                "ref": None if model.ref is None else str(model.ref),
                "rules": None if model.rules is None else model.rules.model_dump(mode="json"),
                "problem": model.problem,
            }
            for name, model in self.items()
        ]
        write_atomically(path, json.dumps(entries), is_private=True)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read the versions; None if they were not saved yet."""
        try:
            entries = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        return cls({entry.pop("name"): _model(**entry) for entry in entries})


def _model(ref: str | None, rules: Any, problem: Any) -> FixedModel:
    return FixedModel(
        None if ref is None else PrefixRef.parse(ref),
        None if rules is None else AliasRuleSet.model_validate(rules),
        problem,
    )
