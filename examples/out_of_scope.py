"""Train a task that rejects texts outside of its labels, and ask it about texts of both kinds.

Needs a running server (`make serve`) and a key for a tenant:

    export POLYPREFIX_KEY=$(.venv/bin/polyprefix key create acme)
    .venv/bin/python examples/out_of_scope.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

DATA = Path(__file__).resolve().parent / "data" / "intents"
TASK = "money"
LABELS = (
    "balance", "transfer", "pay_bill", "pin_change", "report_lost_card", "card_declined",
    "exchange_rate", "credit_score", "taxes", "direct_deposit", "interest_rate", "credit_limit",
)  # fmt: skip
"""The intents that the task knows. All others of the data are out of its scope."""

KEPT = 0.9
MAX_TEXTS = 200


def main() -> int:
    """Train, publish and ask; return 1 if the rule hardly distinguishes the texts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("POLYPREFIX_KEY", ""))
    parser.add_argument("--tenant", default="acme", help="tenant of the key")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {part: write_rows(Path(folder), part) for part in ("train", "validation")}
        train = [
            *(sys.executable, "-m", "server", "train", f"{options.tenant}/{TASK}"),
            *("--train", str(files["train"]), "--validation", str(files["validation"])),
            *("--reject", str(KEPT), "--set", "min_steps=80", "--output", folder),
            *("--publish", options.url, "--key", options.key),
        ]
        subprocess.run(train, check=True)
    known = [row["text"] for row in rows_of("validation") if row["label"] in LABELS]
    foreign = [row["text"] for row in rows_of("validation") if row["label"] not in LABELS]
    shares = [rejected(options, texts[:MAX_TEXTS]) for texts in (known, foreign)]
    print(f"rejected: {shares[0]:.0%} of the texts in scope, {shares[1]:.0%} of the others")
    return 0 if shares[0] < shares[1] / 2 else 1


def rows_of(part: str) -> list[dict[str, str]]:
    """Read the rows of all intents."""
    return [json.loads(line) for line in (DATA / f"{part}.jsonl").read_text().splitlines()]


def write_rows(folder: Path, part: str) -> Path:
    """Write the rows of the intents that the task knows."""
    rows = [row for row in rows_of(part) if row["label"] in LABELS]
    target = folder / f"{part}.jsonl"
    target.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return target


def rejected(options: argparse.Namespace, texts: list[str]) -> float:
    """Return the share of texts that the task rejects, and print the first of them."""
    results: list[dict[str, Any]] = []
    for start in range(0, len(texts), 50):
        body = {"model": TASK, "input": texts[start : start + 50], "top_k": 1}
        headers = {"Authorization": f"Bearer {options.key}"}
        reply = httpx.post(f"{options.url}/v1/classify", json=body, headers=headers, timeout=60)
        reply.raise_for_status()
        results += reply.json()["results"]
    for text, result in list(zip(texts, results, strict=True))[:3]:
        rule = result["rejection"]
        answer = result["label"] or result["reason"]
        print(f"{answer:18} score {rule['score']:6.2f}, cutoff {rule['cutoff']:.2f}  {text}")
    return sum(result["label"] is None for result in results) / len(results)


if __name__ == "__main__":
    sys.exit(main())
