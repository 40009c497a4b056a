"""Start a task without rows: name its labels, classify texts, then send the first rows.

Needs a running server (`make serve`) and the key of a tenant:

    export POLYPREFIX_KEY=$(.venv/bin/polyprefix key create acme)
    .venv/bin/python examples/start_without_rows.py
"""

import argparse
import json
import os
import sys
import time
from typing import Any, Final

import httpx

LABELS: Final = {
    "billing": "invoices, payments, charges and refunds",
    "shipping": "deliveries, parcels and their arrival",
    "account": "passwords, logins and personal details",
}
ROWS: Final = [
    ("Why was I charged twice this month?", "billing"),
    ("Please send me last year's invoice.", "billing"),
    ("I would like my money back.", "billing"),
    ("My card was declined at checkout.", "billing"),
    ("The parcel has not arrived yet.", "shipping"),
    ("Can you deliver to another address?", "shipping"),
    ("My order came with a broken box.", "shipping"),
    ("When will the courier be here?", "shipping"),
    ("I cannot log in any more.", "account"),
    ("How do I change my email address?", "account"),
    ("Reset my password, please.", "account"),
    ("Delete my profile and all my data.", "account"),
]
QUESTIONS: Final = ["Where is my package?", "You took 40 euros too much.", "I forgot my password."]
SECONDS_BETWEEN_LOOKS: Final = 0.5


def main() -> int:
    """Train twice, and classify texts after each; return 1 if a training fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("POLYPREFIX_KEY", ""))
    parser.add_argument("--tenant", default="acme", help="tenant of the key")
    parser.add_argument("--task", default="triage", help="name of the task to publish")
    options = parser.parse_args()
    headers = {"Authorization": f"Bearer {options.key}"}
    with httpx.Client(base_url=options.url, headers=headers, timeout=60) as client:
        path = f"/v1/tenants/{options.tenant}/trainings"
        for rows in ([], ROWS):
            result = fit(client, path, options.task, rows)
            print(f"{len(rows)} rows: {result['ref']}. {result['reason']}")
            body = {"model": options.task, "input": QUESTIONS}
            answers = checked(client.post("/v1/classify", json=body))["results"]
            for question, answer in zip(QUESTIONS, answers, strict=True):
                print(f"  {question} {answer['label']} ({answer['scores'][0]['score']:.2f})")
    return 0


def fit(client: httpx.Client, path: str, task: str, rows: list[tuple[str, str]]) -> dict[str, Any]:
    """Send the labels, and the rows if there are any; return the result of the training."""
    config = {"labels": list(LABELS), "label_descriptions": LABELS}
    form: dict[str, Any] = {"task": (None, task), "config": (None, json.dumps(config))}
    if rows:
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        form["file"] = ("rows.jsonl", "\n".join(lines))
    training = checked(client.post(path, files=form))
    while training["state"] not in {"succeeded", "failed", "cancelled"}:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        training = checked(client.get(training["links"]["self"]))
    if training["state"] != "succeeded":
        sys.exit(json.dumps(training["error"], indent=1))
    result: dict[str, Any] = training["result"]
    return result


def checked(reply: httpx.Response) -> dict[str, Any]:
    """Return the content of a response, or exit with the server's error."""
    if reply.is_error:
        sys.exit(reply.text)
    content: dict[str, Any] = reply.json()
    return content


if __name__ == "__main__":
    sys.exit(main())
