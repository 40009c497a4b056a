"""Answer a file of rows of several tasks on a server, and print the results.

Needs a running server (`make serve`) and the key of a tenant:

    export POLYPREFIX_KEY=$(.venv/bin/polyprefix key create acme)
    .venv/bin/python examples/batch_file.py
"""

import json
import tempfile
from pathlib import Path
from typing import Any, Final

from polyprefix_client import Client

ROWS: Final[list[dict[str, Any]]] = [
    {"id": "a", "text": "You have won a free prize! Call now to claim."},
    {"id": "b", "text": "See you at lunch?"},
    {"id": "c", "model": "examples/banking", "text": "My new card has not arrived yet"},
    {"id": "d", "model": "examples/none", "text": "This task does not exist"},
]


def main() -> None:
    """Send the rows, wait, and print one line for each."""
    with Client() as client, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
        batch = client.batches.add(file, model="examples/spam", top_k=1)
        client.batches.wait(batch.id, on_progress=lambda one: print(one.state, one.num_done))
        for result in client.batches.results(batch.id):
            answer = result["error"]["code"] if "error" in result else result["label"]
            print(result["id"], answer)
        client.batches.delete(batch.id)


if __name__ == "__main__":
    main()
