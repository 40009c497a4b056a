"""The snippets of docs/python-client.md run, in their order, against a server."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.pages import DOCS
from tests.server.rest import Rest, put

PAGE = (DOCS / "python-client.md").read_text(encoding="utf-8")
UNTESTED = {"Trainings", "Batch files"}  # test_trainings.py and test_batches.py run them


def snippets() -> list[tuple[str, str]]:
    return [
        (part.split("\n", 1)[0], code)
        for part in PAGE.split("\n## ")[1:]
        for code in re.findall(r"```python\n(.*?)```", part, re.DOTALL)
    ]


def test_the_snippets_of_the_page_run(
    rest: Rest,
    backbone: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYPREFIX_URL", rest.url)
    monkeypatch.setenv("POLYPREFIX_KEY", rest.keys["acme"])
    for name, seed in (("spam", 91), ("spam-2", 92)):
        data = make_prefix(backbone.fingerprint, seed=seed).to_bytes()
        (tmp_path / f"{name}.safetensors").write_bytes(data)
    put(rest.registry, "examples/spam", make_prefix(backbone.fingerprint, seed=93))
    (tmp_path / "texts.jsonl").write_text('{"text": "good"}\n{"text": "bad film"}\n')
    names: dict[str, Any] = {"rest": rest}
    titles = set()
    for title, code in snippets():
        titles.add(title)
        if title in UNTESTED:
            compile(code, title, "exec")
        elif "await " in code:
            body = "\n".join(f"    {line}" for line in code.splitlines())
            exec(f"async def run():\n{body}\n", names)
            asyncio.run(names["run"]())
        else:
            exec(code, names)
    names["client"].close()
    assert len(titles) >= 6
    assert "acme/page@1" in capsys.readouterr().out
