"""From the names of labels to a reviewed, thresholded and promoted task.

Plays a new tenant: names two labels, lets the task answer, labels what the review asks for, trains
on these answers with a threshold, and promotes the new version. Needs a running server (`make
serve`) and the key of a tenant:

    export POLYPREFIX_KEY=$(.venv/bin/polyprefix key create acme)
    .venv/bin/python examples/decisions.py
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import httpx

DATA: Final = Path(__file__).resolve().parent / "data" / "spam"
LABELS: Final = {
    "spam": "advertising: you have won a prize, call this number, text to claim an offer",
    "ham": "a personal message between friends or family",
}
CONFIG: Final = {"labels": list(LABELS), "label_descriptions": LABELS}
NUM_REVIEWED: Final = 80
TEXTS_PER_REQUEST: Final = 100
SECONDS_BETWEEN_LOOKS: Final = 0.5


def main() -> int:
    """Walk through all steps; return 1 if the new version is not better than the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("POLYPREFIX_KEY", ""))
    parser.add_argument("--tenant", default="acme", help="tenant of the key")
    parser.add_argument("--task", default="inbox", help="name of the task to publish")
    options = parser.parse_args()
    headers = {"Authorization": f"Bearer {options.key}"}
    with httpx.Client(base_url=options.url, headers=headers, timeout=60) as client:
        return Walk(client, options.tenant, options.task).all_steps()


class Walk:
    """The steps, against one server."""

    def __init__(self, client: httpx.Client, tenant: str, task: str) -> None:
        self._client = client
        self._tenant = f"/v1/tenants/{tenant}"
        self._prefix = f"{self._tenant}/prefixes/{task}"
        self._task = task
        self._truths = {row["text"]: row["label"] for row in rows_of("train.jsonl")[:400]}

    def all_steps(self) -> int:
        """Do every step, and print what it gave."""
        first = self.train(CONFIG)
        print(f"1. Labels alone: {first['ref']} is live")
        before = self.accuracy()
        print(f"   accuracy on held-out messages: {before:.3f}")
        self.send("PUT", f"{self._tenant}/feedback", json={"is_enabled": True})
        self.classify(list(self._truths), request_id=self._task)
        print(f"2. Classified {len(self._truths)} messages of the inbox")
        print(f"3. Labeled {self.review()} of them, the least certain first")
        second = self.train({**CONFIG, "threshold": "precision>=0.95"}, feedback="only")
        print(f"4. Trained on them: {second['ref']}, {second['reason']}")
        version = int(second["ref"].rpartition("@")[2])
        self.send("PUT", f"{self._prefix}/aliases/live", json={"version": version})
        after = self.accuracy()
        print(f"5. Promoted; accuracy on held-out messages: {after:.3f}")
        rules = {"min_score": 0.6}
        self.send("PUT", f"{self._prefix}/aliases/live/rules", json=rules)
        self.explain()
        return 0 if after > before else 1

    def train(self, config: dict[str, Any], feedback: str | None = None) -> dict[str, Any]:
        """Queue a training, wait for its end, and return its result."""
        form = {"task": (None, self._task), "config": (None, json.dumps(config))}
        if feedback is not None:
            form["feedback"] = (None, feedback)
        training = self.send("POST", f"{self._tenant}/trainings", files=form)
        while training["state"] not in {"succeeded", "failed", "cancelled"}:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            training = self.send("GET", training["links"]["self"])
        if training["state"] != "succeeded":
            sys.exit(json.dumps(training["error"], indent=1))
        result: dict[str, Any] = training["result"]
        return result

    def classify(self, texts: list[str], request_id: str = "") -> list[dict[str, Any]]:
        """Classify texts, in requests with ids that tell them apart."""
        results: list[dict[str, Any]] = []
        for start in range(0, len(texts), TEXTS_PER_REQUEST):
            headers = {"X-Request-Id": f"{request_id}-{start}"} if request_id else {}
            body = {"model": self._task, "input": texts[start : start + TEXTS_PER_REQUEST]}
            results += self.send("POST", "/v1/classify", json=body, headers=headers)["results"]
        return results

    def accuracy(self) -> float:
        """Measure the live version on messages that it was not trained on."""
        rows = rows_of("validation.jsonl")
        answers = self.classify([row["text"] for row in rows])
        right = [row["label"] == one["label"] for row, one in zip(rows, answers, strict=True)]
        return float(sum(right) / len(right))

    def review(self) -> int:
        """Give the right answers to what is worth labeling, as a person would; count them."""
        page = self.send("GET", f"{self._prefix}/review", params={"limit": NUM_REVIEWED})
        inbox = [item for item in page["items"] if item["input"]["text"] in self._truths]
        for item in inbox:
            answer = {
                "request_id": item["request_id"],
                "index": item["index"],
                "label": self._truths[item["input"]["text"]],
                "is_review": True,
            }
            self.send("POST", "/v1/feedback", json=answer)
        return len(inbox)

    def explain(self) -> None:
        """Classify two messages with an explanation."""
        texts = ["URGENT! You have won a prize. Call 09061701461 now to claim.", "the the the"]
        body = {"model": self._task, "input": texts, "explain": "occlusion"}
        results = self.send("POST", "/v1/classify", json=body)["results"]
        for text, result in zip(texts, results, strict=True):
            answer = result["label"] or f"no answer ({result['reason']})"
            print(f"6. {text!r}: {answer}, because of {strongest(result)!r}")

    def send(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        """Send a request and return the content of its response, or exit with its error."""
        reply = self._client.request(method, path, **how)
        if reply.is_error:
            sys.exit(reply.text)
        content: dict[str, Any] = reply.json()
        return content


def rows_of(name: str) -> list[dict[str, Any]]:
    """Read labeled messages."""
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def strongest(result: dict[str, Any]) -> str:
    """Return the word without which the logit of the label is lowest."""
    parts = [one for one in result["explanation"]["parts"] if "change" in one]
    word: str = min(parts, key=lambda one: one["change"])["text"]
    return word


if __name__ == "__main__":
    sys.exit(main())
