"""ImportReport: the facts that an import found, folded and could not carry over."""

from dataclasses import dataclass, field

from prefixes.prefix import Prefix


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Three lists of sentences for the user."""

    found: tuple[str, ...]
    folded: tuple[str, ...]
    not_carried_over: tuple[str, ...]


@dataclass(slots=True)
class Notes:
    """The sentences of a report that is being written."""

    found: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def report(self) -> ImportReport:
        """Return the finished report."""
        return ImportReport(tuple(self.found), tuple(self.folded), tuple(self.lost))


@dataclass(frozen=True, slots=True)
class ImportedPrefix:
    """A prefix made from another program's files, and the report on it."""

    prefix: Prefix
    report: ImportReport
