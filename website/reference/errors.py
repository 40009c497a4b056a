"""The page of error codes, from the table of the server."""

from typing import Final

from server.api.statuses import STATUS
from website.reference.tables import table

_INTRODUCTION: Final = """# Error codes

Every error of the HTTP API has a stable `code`. [HTTP API](../../http-api.md#errors) describes the
body of an error, and says what causes each code.
"""


def errors_page() -> str:
    """Write the page: the status, the code and the title of each error."""
    rows = sorted(
        (str(status), f"`{kind.code}`", title)  # type: ignore[attr-defined]
        for kind, (status, title) in STATUS.items()
    )
    return f"{_INTRODUCTION}\n{table(('status', 'code', 'title'), rows)}"
