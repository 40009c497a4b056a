"""Finding: one defect of a prefix, described so that its owner can fix it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect: the part, what was expected, what was found, and what to do about it.

    `code` is stable and machine-readable; `subject` names a tensor, a field of the
    description such as `spec.labels`, or `file`.
    """

    code: str
    subject: str
    expected: str
    found: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: expected {self.expected}, found {self.found}"
