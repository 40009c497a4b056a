"""LangChain and LiteLLM, unmodified, against a server on a socket."""

import asyncio
import importlib.util
import json
import re
import subprocess
import sys
from typing import Any, Final

import httpx
import pytest

from tests.server.hosting.processes import ROOT
from tests.server.pages import DOCS, section_of
from tests.server.rest import Rest

PAGE: Final = (DOCS / "clients.md").read_text()

needs_litellm = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None,
    reason="litellm is not installed: pip install --no-deps litellm (see the Makefile)",
)

OFFLINE: Final = """
import socket
real = socket.getaddrinfo
def only_loopback(host, *more, **named):
    if host not in ("127.0.0.1", b"127.0.0.1", "localhost"):
        raise SystemExit(f"a request to {host} leaves the machine")
    return real(host, *more, **named)
socket.getaddrinfo = only_loopback
"""
"""Ends a program that looks up the address of another machine."""


def vectors(rest: Rest, *texts: str) -> list[list[float]]:
    body = {"model": "examples/vectors", "input": list(texts)}
    data = rest.call("POST", "/v1/embeddings", json=body).json()["data"]
    return [item["embedding"] for item in data]


def embeddings(rest: Rest, **options: Any) -> Any:
    from langchain_openai import OpenAIEmbeddings

    options |= {"base_url": f"{rest.url}/v1", "api_key": rest.keys["acme"]}
    return OpenAIEmbeddings(model="examples/vectors", check_embedding_ctx_length=False, **options)


def test_langchain_embeds_documents_and_queries(rest: Rest) -> None:
    texts = ["hello city", "the river", "a late train"]
    expected = vectors(rest, *texts)
    with httpx.Client() as http:
        client = embeddings(rest, chunk_size=2, http_client=http)
        found = client.embed_documents(texts)
        query = client.embed_query(texts[0])
    for vector, one in zip([*found, query], [*expected, expected[0]], strict=True):
        assert vector == pytest.approx(one, abs=1e-6)


def test_langchain_embeds_without_blocking(rest: Rest) -> None:
    async def embed() -> list[float]:
        async with httpx.AsyncClient() as http:
            found: list[float] = await embeddings(rest, http_async_client=http).aembed_query(
                "hello"
            )
            return found

    assert asyncio.run(embed()) == pytest.approx(vectors(rest, "hello")[0], abs=1e-6)


def run_litellm(rest: Rest, code: str) -> Any:
    """Run code in a process of its own, and return the JSON that it prints.

    LiteLLM takes seconds to import, and changes global state of other libraries.
    """
    preamble = f"URL, KEY = {rest.url!r}, {rest.keys['acme']!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE + preamble + code],
        cwd=ROOT / "examples",
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "POLYPREFIX_URL": rest.url, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@needs_litellm
def test_litellm_embeds_as_the_page_says_and_calls_nobody_else(rest: Rest) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", section_of(PAGE, "LiteLLM"), re.DOTALL)
    code = f"{snippet}\nimport json; print(json.dumps([answer.model, vectors]))"
    model, found = run_litellm(rest, code)
    assert model == "examples/vectors@1"
    for vector, expected in zip(found, vectors(rest, "hello city", "the river"), strict=True):
        assert vector == pytest.approx(expected, abs=1e-6)


PROVIDER: Final = """
import asyncio, json, litellm
from litellm_provider import provider
litellm.custom_provider_map = [{"provider": "polyprefix", "custom_handler": provider}]
def ask(model, text, call=litellm.completion):
    return call(model=f"polyprefix/{model}", messages=[{"role": "user", "content": text}],
                api_key=KEY)
"""


@needs_litellm
def test_the_example_of_a_litellm_provider_classifies(rest: Rest) -> None:
    code = """
one = ask("examples/mood", "good")
topics = ask("examples/topics", "war and trade")
other = asyncio.run(ask("acme/mood", "bad film", litellm.acompletion))
try:
    ask("acme/nothing", "good")
except Exception as error:
    failure = [type(error).__name__, str(error)]
print(json.dumps([[a.model, a.choices[0].message.content, a.usage.prompt_tokens]
                  for a in (one, topics, other)] + [failure]))
"""
    *answers, (kind, message) = run_litellm(rest, PROVIDER + code)
    for (model, content, tokens), (task, text) in zip(
        answers,
        (
            ("examples/mood", "good"),
            ("examples/topics", "war and trade"),
            ("acme/mood", "bad film"),
        ),
        strict=True,
    ):
        body = {"model": task, "input": text}
        expected = rest.call("POST", "/v1/classify", "acme", json=body).json()
        (result,) = expected["results"]
        assert (model, tokens) == (f"{task}@1", expected["usage"]["tokens"])
        if "label" in result:
            assert content == result["label"]
        else:
            assert json.loads(content) == result["labels"]
    assert "Prefix not found: acme/nothing" in message, kind
