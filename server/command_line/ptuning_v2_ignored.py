"""Flags of the original's scripts that are understood, and have nothing to do here."""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

_SWITCHES: Final = (
    "overwrite_output_dir",
    "overwrite_cache",
    "pad_to_max_length",
    "no_pad_to_max_length",
    "use_fast_tokenizer",
    "use_auth_token",
    "version_2_with_negative",
    "load_best_model_at_end",
    "group_by_length",
    "logging_first_step",
    "disable_tqdm",
)
_WITH_VALUES: Final = (
    "save_strategy",
    "save_steps",
    "save_total_limit",
    "evaluation_strategy",
    "eval_steps",
    "logging_strategy",
    "logging_steps",
    "logging_dir",
    "log_level",
    "report_to",
    "run_name",
    "per_device_eval_batch_size",
    "dataloader_num_workers",
    "cache_dir",
    "config_name",
    "tokenizer_name",
    "dataset_config_name",
)
UNUSED: Final = (*_SWITCHES, *_WITH_VALUES)


def parameters() -> list[inspect.Parameter]:
    """Make a hidden option of each of them."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, keyword, default=None, annotation=_option(name)) for name in UNUSED
    ]


def _option(name: str) -> Any:
    # Named one by one: of a switch, typer would make a second one that says no.
    kind = bool if name in _SWITCHES else str
    return Annotated[kind | None, typer.Option(f"--{name.replace('_', '-')}", hidden=True)]


def remark(values: Mapping[str, Any]) -> str | None:
    """Name the flags among these that were given, if any."""
    given = [f"--{name}" for name in UNUSED if values[name] is not None]
    if not given:
        return None
    return f"Flags that mean nothing here, and are passed over: {', '.join(given)}"
