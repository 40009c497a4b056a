"""Dataset: a published dataset, with its sources, the forms of its rows, and its task."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from prefixes import InputTemplate
from prefixes.spec import TaskType
from training.errors import DataProblem, DataRejected, PlanRejected
from training.files.row_readers import read_rows
from training.files.rows import Row, RowFile, Rows
from training.sources import HubSource, Source

CANDIDATE: Final = "candidate"
"""The column of the candidate answer that a row proposes."""

_HIDDEN: Final = frozenset({None, "", "-1", "-1.0"})
_KEPT: Final = ("id", "idx")

Columns = Mapping[str, Any]
Convert = Callable[[Columns], Iterable[Columns]]
Reader = Callable[[Path], RowFile]


@dataclass(frozen=True, slots=True)
class Form:
    """One form of the rows of a dataset, recognized by `columns`. `convert` normalizes it.

    `convert` returns the rows that one row stands for. It raises a ValueError, TypeError or
    KeyError that says what it expected and what it found.
    """

    columns: tuple[str, ...]
    convert: Convert

    def fits(self, row: Row) -> bool:
        return row.columns.keys() >= set(self.columns)


@dataclass(frozen=True, slots=True)
class Template:
    """How the columns of a row become the one or two texts of an input."""

    text: str
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class Hub:
    """The source of a dataset on the Hugging Face hub."""

    path: str
    config: str = ""

    def source(self, split: str) -> str:
        return str(HubSource(self.path, self.config, split))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A published dataset: its settings in P-tuning v2, and how its files become rows.

    `fields` are settings of a `TrainConfig`. `templates` are in the order of P-tuning v2's
    `template_id`, and empty if the columns are the texts. `splits` names the parts as the hub does;
    those that begin with `test` are measured or predicted. `files` lists the usual file names of
    every part, and `readers` read files other than JSONL, by their suffix.
    """

    name: str
    task_type: TaskType
    forms: Sequence[Form]
    splits: Mapping[str, str]
    files: Mapping[str, Sequence[str]]
    fields: Mapping[str, Any]
    templates: Sequence[Template] = ()
    hub: Hub | None = None
    readers: Mapping[str, Reader] = field(default_factory=lambda: MappingProxyType({}))
    label: str = "label"
    labels: tuple[str, ...] | None = None

    @property
    def defaults(self) -> dict[str, Any]:
        """The default settings of a training on this dataset."""
        defaults = {"task_type": self.task_type, **self.fields}
        if self.labels is not None:
            defaults["labels"] = self.labels
        return {**defaults, **(self.template(0) if self.templates else {})}

    @property
    def tests(self) -> list[str]:
        """The test parts, in order."""
        return [part for part in self.files if part.startswith("test")]

    def template(self, number: int) -> dict[str, Any]:
        """Return the settings of one of the original's templates.

        Raises:
            PlanRejected: when the set has no template of this number.
        """
        if not 0 <= number < len(self.templates):
            most = len(self.templates) - 1
            raise PlanRejected(
                f"template_id {number}: {self.name} has "
                f"{f'the templates 0 to {most}' if most > 0 else 'one template only, leave it out'}"
            )
        chosen = self.templates[number]
        return {"template": chosen.text, "pair_template": chosen.pair}

    def local_files(self, folder: Path) -> dict[str, str]:
        """Find the parts of the dataset in a folder, by their usual file names.

        Raises:
            PlanRejected: when it has none of them.
        """
        found = {
            part: str(path)
            for part, names in self.files.items()
            for path in [next((folder / x for x in names if (folder / x).is_file()), None)]
            if path is not None
        }
        if not found:
            expected = " or ".join(name for names in self.files.values() for name in names)
            raise PlanRejected(
                f"{folder} has no rows of {self.name}: expected {expected}, or name the files "
                "with --train-file and --validation-file"
            )
        return found

    def hub_sources(self) -> dict[str, str]:
        """Return the sources of the parts on the hub.

        Raises:
            PlanRejected: when it is not on the hub.
        """
        if self.hub is None:
            raise PlanRejected(
                f"{self.name} is licensed and not on the hub: name its folder with --data-dir, or "
                "its files"
            )
        return {part: self.hub.source(split) for part, split in self.splits.items()}

    def read(self, source: Source) -> RowFile:
        """Read a file, or a part on the hub, as normalized rows.

        Raises:
            DataRejected: when it cannot be read, or its columns are of no form of this set.
        """
        suffix = source.suffix.lower() if isinstance(source, Path) else ""
        if suffix in self.readers:
            assert isinstance(source, Path)
            return self.convert(self.readers[suffix](source))
        return self.convert(read_rows(source))

    def convert(self, file: RowFile) -> RowFile:
        """Normalize rows. A row that cannot be normalized is a problem of the file.

        Raises:
            DataRejected: when the file's columns are of no form of this set.
        """
        if not file.rows:
            return file
        forms = (*self.forms, *self._served_forms())
        form = next((form for form in forms if form.fits(file.rows[0])), None)
        if form is None:
            raise DataRejected((self._no_form(file.rows[0]),))
        rows = Rows(file.path)
        problems = list(file.problems)
        for row in file.rows:
            try:
                found = [self._labeled(row, columns) for columns in form.convert(row.columns)]
            except (ValueError, TypeError, KeyError) as error:
                problems.append(row.problem(f"is not a row of {self.name}: {error}"))
                continue
            for one in found:
                rows.append(one)
        return dataclasses.replace(file, rows=rows, problems=tuple(problems))

    def _served_forms(self) -> list[Form]:
        """Return the forms of rows whose columns are the fields of requests."""
        inputs = [InputTemplate(text=one.text, text_pair=one.pair) for one in self.templates]
        return [Form(one.fields, renamed()) for one in inputs or [InputTemplate()]]

    def _no_form(self, row: Row) -> DataProblem:
        expected = ", or ".join(" and ".join(form.columns) for form in self.forms)
        found = ", ".join(row.columns)
        return row.problem(f"expected the columns of {self.name}, {expected}; found {found:.200}")

    def _labeled(self, row: Row, columns: Columns) -> Row:
        """Add the label of a row by name, unless it is hidden."""
        kept = {name: row.columns[name] for name in _KEPT if name in row.columns}
        found = {**kept, **columns}
        value = found.pop(self.label, None)
        if isinstance(value, list | dict):
            found[self.label] = value
        elif (str(value).strip() if value is not None else None) not in _HIDDEN:
            found[self.label] = value if self.labels is None else named_label(value, self.labels)
        return dataclasses.replace(row, columns=found)


def named_label(value: Any, labels: Sequence[str]) -> Any:
    """Return the label for its name in any case, or for its number. Return other values as is."""
    text = str(value).strip()
    if isinstance(value, str):
        by_case = {label.lower(): label for label in labels}
        known = text if text in labels else by_case.get(text.lower())
        if known is not None:
            return known
    number = str(int(value)) if isinstance(value, bool | float) and value == int(value) else text
    return labels[int(number)] if number.isdecimal() and int(number) < len(labels) else value


def renamed(**names: str) -> Convert:
    """Return a conversion that renames columns and keeps the rest."""
    taken = set(names.values())

    def convert(columns: Columns) -> Iterable[Columns]:
        rest = {name: value for name, value in columns.items() if name not in taken}
        return [{**rest, **{new: columns[old] for new, old in names.items() if old in columns}}]

    return convert
