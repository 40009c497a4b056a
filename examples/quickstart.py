"""Train two tasks, publish them, and send one request with texts for three tasks.

Needs a running server with the example prefixes (`make serve`) and a key for a tenant:

    export POLYPREFIX_KEY=$(.venv/bin/polyprefix key create acme)
    .venv/bin/python examples/quickstart.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

DATA = Path(__file__).resolve().parent / "data"
CARD_QUESTIONS = ("card_arrival", "lost_or_stolen_card", "change_pin", "top_up_failed")

PLAN = """
tokens_per_batch = 4096

[defaults]
epochs = 3
min_steps = 40

[[task]]
task = "{tenant}/spam"
train = "{data}/spam/train.jsonl"
validation = "{data}/spam/validation.jsonl"
max_rows = 400

[[task]]
task = "{tenant}/cards"
train = "{folder}/cards.jsonl"
"""

QUESTIONS = (
    ("spam", "URGENT! You have won a 1000 pounds prize. Call 09061701461 now to claim.", "spam"),
    ("cards", "I left my wallet in a taxi and my card is gone, please block it.",
     "lost_or_stolen_card"),
    ("examples/intents", "what will the weather be like in london tomorrow", "weather"),
    ("spam", "I'll be home around seven, shall I bring some milk?", "ham"),
    ("cards", "When will the card you sent me be delivered?", "card_arrival"),
)  # fmt: skip


def main() -> int:
    """Train, publish and classify; return 1 if a label is not the expected one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("POLYPREFIX_KEY", ""))
    parser.add_argument("--tenant", default="acme", help="tenant of the key")
    parser.add_argument("--backbone", default="minilm", help="backbone of the server")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan = write_plan(Path(folder), options.tenant)
        train = [sys.executable, "-m", "server", "train", str(plan), "--output", folder]
        place = ["--publish", options.url, "--key", options.key, "--backbone", options.backbone]
        subprocess.run([*train, *place], check=True)
    return show(ask(options.url, options.key))


def write_plan(folder: Path, tenant: str) -> Path:
    """Choose the rows of a few intents for the second task, and describe both in a plan."""
    rows = (DATA / "banking" / "train.jsonl").read_text().splitlines()
    chosen = [row for row in rows if json.loads(row)["label"] in CARD_QUESTIONS]
    (folder / "cards.jsonl").write_text("\n".join(chosen) + "\n")
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(tenant=tenant, data=DATA, folder=folder))
    return plan


def ask(url: str, key: str) -> list[str]:
    """Classify texts of three tasks in one request; gives the best labels in order."""
    body = {
        "input": [{"model": model, "text": text} for model, text, _ in QUESTIONS],
        "top_k": 1,
    }
    headers = {"Authorization": f"Bearer {key}"}
    reply = httpx.post(f"{url}/v1/classify", json=body, headers=headers, timeout=60)
    reply.raise_for_status()
    return [result["label"] for result in reply.json()["results"]]


def show(answers: list[str]) -> int:
    """Print what was asked, answered and expected."""
    wrong = 0
    for (model, text, expected), answer in zip(QUESTIONS, answers, strict=True):
        verdict = "as expected" if answer == expected else f"expected {expected}"
        wrong += answer != expected
        print(f"{model:18} {answer:22} {verdict:14} {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
