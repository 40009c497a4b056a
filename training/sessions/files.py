"""Names of the files that a training writes into its output folder."""

from typing import Final

PREFIX_FILE: Final = "prefix.safetensors"
CHECKPOINT: Final = "checkpoint.pt"
LESSONS_FOLDER: Final = "lessons"
REPORT: Final = "report.json"
CURVE: Final = "curve.png"
CONFUSION: Final = "confusion.png"
