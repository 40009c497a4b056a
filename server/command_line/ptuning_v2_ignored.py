"""Flags of the scripts of P-tuning v2 that `train` accepts and ignores."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from server.command_line.flag_groups import given


def _ignored(*names: str) -> Any:
    return typer.Option(*names, hidden=True)


_Value = Annotated[str | None, _ignored()]


@dataclass(frozen=True, slots=True)
class IgnoredFlags:
    """Flags of the Hugging Face trainer that have no effect here.

    A switch has its name spelled out: Typer would otherwise add a second one, `--no-NAME`.
    """

    overwrite_output_dir: Annotated[bool | None, _ignored("--overwrite-output-dir")] = None
    overwrite_cache: Annotated[bool | None, _ignored("--overwrite-cache")] = None
    pad_to_max_length: Annotated[bool | None, _ignored("--pad-to-max-length")] = None
    no_pad_to_max_length: Annotated[bool | None, _ignored("--no-pad-to-max-length")] = None
    use_fast_tokenizer: Annotated[bool | None, _ignored("--use-fast-tokenizer")] = None
    use_auth_token: Annotated[bool | None, _ignored("--use-auth-token")] = None
    version_2_with_negative: Annotated[bool | None, _ignored("--version-2-with-negative")] = None
    load_best_model_at_end: Annotated[bool | None, _ignored("--load-best-model-at-end")] = None
    group_by_length: Annotated[bool | None, _ignored("--group-by-length")] = None
    logging_first_step: Annotated[bool | None, _ignored("--logging-first-step")] = None
    disable_tqdm: Annotated[bool | None, _ignored("--disable-tqdm")] = None
    save_strategy: _Value = None
    save_steps: _Value = None
    save_total_limit: _Value = None
    evaluation_strategy: _Value = None
    eval_steps: _Value = None
    logging_strategy: _Value = None
    logging_steps: _Value = None
    logging_dir: _Value = None
    log_level: _Value = None
    report_to: _Value = None
    run_name: _Value = None
    per_device_eval_batch_size: _Value = None
    dataloader_num_workers: _Value = None
    cache_dir: _Value = None
    config_name: _Value = None
    tokenizer_name: _Value = None
    dataset_config_name: _Value = None

    @property
    def warning(self) -> str | None:
        """Name the flags that were given, if any."""
        names = [f"--{name}" for name in given(self)]
        return f"Ignored flags, which have no effect here: {', '.join(names)}" if names else None
