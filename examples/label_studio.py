"""Pre-annotate texts for Label Studio, and write a file to import into a project.

Run `make serve` in another terminal, and install `label-studio-sdk`. Then:

    python examples/label_studio.py examples/data/spam/validation.jsonl tasks.json

The labeling interface below is that of the project. Label Studio itself asks for pre-annotations
in the same way, if you connect the URL as a model: see docs/compatible-apis.md.
"""

import argparse
import json
import os
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.objects import PredictionValue, TaskValue

INTERFACE = """<View>
  <Text name="message" value="$text"/>
  <Choices name="kind" toName="message"><Choice value="ham"/><Choice value="spam"/></Choices>
</View>"""


def main() -> None:
    """Read texts, ask for pre-annotations, and write tasks with them."""
    args = arguments()
    with args.texts.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, args.number)]
    tasks = [{"id": number, "data": {"text": row["text"]}} for number, row in enumerate(rows)]
    predictions = ask(args.url, os.environ.get("POLYPREFIX_KEY", ""), tasks)
    interface = LabelInterface(INTERFACE)
    pairs = zip(tasks, predictions, strict=True)
    values = [TaskValue(data=task["data"], predictions=[one]) for task, one in pairs]
    for one in predictions:
        problems = interface.validate_prediction(one.model_dump(), return_errors=True)
        if problems:
            sys.exit(f"A prediction does not fit the labeling interface: {problems}")
    written = [value.model_dump() for value in values]
    args.output.write_text(json.dumps(written, ensure_ascii=False, indent=2), encoding="utf-8")
    print(f"Wrote {len(values)} tasks to {args.output}.")


def ask(url: str, key: str, tasks: list[dict[str, Any]]) -> list[PredictionValue]:
    """Return the pre-annotations of tasks."""
    auth = ("label-studio", key) if key else None
    body = {"tasks": tasks, "label_config": INTERFACE}
    response = httpx.post(f"{url}/predict", json=body, auth=auth, timeout=60)
    if response.is_error:
        sys.exit(f"{response.status_code}: {response.json()['detail']}")
    return [PredictionValue(**one) for one in response.json()["results"]]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path, help="a .jsonl file with the column text")
    parser.add_argument("output", type=Path, help="the file to write")
    parser.add_argument("--number", type=int, default=50, help="number of texts")
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:8000/label-studio/examples/spam",
        help="the URL that Label Studio would connect to",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
