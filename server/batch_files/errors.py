"""Why a batch file stops before its end."""

from typing import Final

from server.problems import Problem

_TITLE: Final = "The batch failed"


class BatchCancelled(Exception):
    """The owner cancelled the batch file."""


class BatchPaused(Exception):
    """The batch file continues later, from its last checkpoint."""


class BatchFailed(Exception):
    """The whole file failed. `problem` describes the reason for the owner."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(status, _TITLE, code, detail)


class UnreadableFile(BatchFailed):
    """The rows cannot be read."""

    def __init__(self, detail: str) -> None:
        super().__init__(422, "bad_upload", detail)
