"""The kernels of a run: what workers and servers are asked for, and what they chose."""

import json
from pathlib import Path

from bench.kernels import KernelSettings, arguments, cached_names


def test_a_worker_loads_with_the_kernels_and_the_cache_of_the_run(tmp_path: Path) -> None:
    cache = tmp_path / "kernels.json"
    job = json.loads(json.dumps({"kernels": KernelSettings("onednn", "auto", cache).job()}))
    assert arguments(job) == {
        "linear_kernel": "onednn",
        "attention_kernel": "auto",
        "kernel_cache": cache,
    }


def test_choices_are_those_of_serving_in_a_number_type(tmp_path: Path) -> None:
    cache = tmp_path / "kernels.json"
    assert cached_names(cache, "float32") == {}
    facts = {"dtype": "float32", "training": "False", "operation": "linear"}
    choices = [
        {"facts": facts, "chosen": "torch"},
        {"facts": {**facts, "training": "True"}, "chosen": "onednn"},
        {"facts": {**facts, "dtype": "bfloat16"}, "chosen": "onednn"},
        {"facts": {**facts, "operation": "attention"}, "chosen": "compiled"},
    ]
    cache.write_text(json.dumps({"choices": choices}), encoding="utf-8")
    assert cached_names(cache, "float32") == {"linear": "torch", "attention": "compiled"}


def test_a_server_gets_the_choices_that_were_made_so_far(tmp_path: Path) -> None:
    settings = KernelSettings.automatic(tmp_path / "kernels.json")
    settings.share(tmp_path / "server.json")
    assert not (tmp_path / "server.json").exists()
    settings.cache.write_text("{}", encoding="utf-8")
    settings.share(tmp_path / "server.json")
    assert (tmp_path / "server.json").read_text(encoding="utf-8") == "{}"
