"""The commands `import` and `export`: prefixes from and to the files of other programs."""

# ruff: noqa: PLC0415 - a command imports what it needs, so that --help is there at once

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from prefixes.backbone import Backbone
    from prefixes.interop.parts import Wishes
    from prefixes.interop.report import Imported, ImportReport

_FAILED: Final = 1

BackboneName = Annotated[str, typer.Option(help="`minilm`, a folder, or a model id.")]


class Source(StrEnum):
    """The programs whose files are read."""

    PTUNING_V2 = "ptuning-v2"
    PEFT = "peft"
    ADAPTERHUB = "adapterhub"


class Target(StrEnum):
    """The programs whose files are written."""

    PEFT = "peft"


def import_prefix(  # noqa: PLR0917 - typer passes all by name
    source: Annotated[Source, typer.Argument(help="Which program wrote the folder.")],
    folder: Annotated[Path, typer.Argument(help="Settings and weights, as it saves them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The prefix file to write.")],
    backbone: BackboneName = "minilm",
    task: Annotated[str | None, typer.Option(help="TENANT/TASK it is meant for.")] = None,
    labels: Annotated[str | None, typer.Option(help="All labels in order, with commas.")] = None,
    problem_type: Annotated[
        str | None, typer.Option(help="Where it is not single_label_classification.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of a text.", show_default="all there is room for")
    ] = None,
    template: Annotated[str | None, typer.Option(help="Such as '{premise}'.")] = None,
    pair_template: Annotated[str | None, typer.Option(help="Of a pair's second text.")] = None,
    example: Annotated[
        list[str] | None,
        typer.Option(help="Text, or a JSON object of fields, to replay wherever it is installed."),
    ] = None,
) -> None:
    """Make a prefix file of a prefix that P-tuning v2, PEFT or AdapterHub trained."""
    with _sentences():
        from prefixes.atomic import write_atomically
        from prefixes.interop.examples import with_examples
        from prefixes.names import PrefixRef

        reference = None if task is None else PrefixRef.parse(task)
        wishes = _wishes(labels, problem_type, max_length, template, pair_template)
        loaded = _load(backbone)
        imported = _importer(source)(folder, loaded, wishes)
        prefix = with_examples(loaded, imported.prefix, example or ())
        write_atomically(output, prefix.to_bytes())
        _print_report(imported.report)
        typer.echo(f"\nWrote {output}.")
        if reference is not None:
            typer.echo(
                "To publish it: curl -F file=@"
                f"{output} -H 'Authorization: Bearer KEY' "
                f"http://HOST/v1/tenants/{reference.tenant}/prefixes/{reference.task}/versions"
            )


def export_prefix(
    target: Annotated[Target, typer.Argument(help="Which program shall read it.")],
    file: Annotated[Path, typer.Argument(help="A prefix file.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write.")],
    backbone: BackboneName = "minilm",
) -> None:
    """Write a prefix as a folder that PEFT loads, with the same logits."""
    with _sentences():
        from prefixes.interop.peft import export_peft
        from prefixes.prefix import Prefix

        exporters = {Target.PEFT: export_peft}
        loaded = _load(backbone)
        prefix = Prefix.load(file, fits=loaded.fingerprint)
        for sentence in exporters[target](prefix, folder, loaded):
            typer.echo(sentence)


def _importer(source: Source) -> "Callable[[Path, Backbone, Wishes], Imported]":
    from prefixes.interop.adapterhub import import_adapterhub
    from prefixes.interop.peft import import_peft
    from prefixes.interop.ptuning_v2 import import_ptuning_v2

    return {
        Source.PTUNING_V2: import_ptuning_v2,
        Source.PEFT: import_peft,
        Source.ADAPTERHUB: import_adapterhub,
    }[source]


def _wishes(
    labels: str | None,
    problem_type: str | None,
    max_length: int | None,
    template: str | None,
    pair_template: str | None,
) -> "Wishes":
    from prefixes.interop.parts import Wishes, template_of

    return Wishes(
        labels=None if labels is None else tuple(label.strip() for label in labels.split(",")),
        problem_type=problem_type,  # type: ignore[arg-type] # held against the known ones later
        max_length=max_length,
        template=template_of(template, pair_template),
    )


def _load(backbone: str) -> "Backbone":
    from transformers.utils import logging

    from prefixes.backbone import load_backbone

    logging.disable_progress_bar()
    return load_backbone(backbone, device="cpu")


def _print_report(report: "ImportReport") -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    for title, sentences in (
        ("Found", report.found),
        ("Folded", report.folded),
        ("Not carried over", report.not_carried_over),
    ):
        console.print(f"[bold]{title}[/bold]")
        for sentence in sentences or ("Nothing.",):
            console.print(f"  {escape(sentence)}", highlight=False)


@contextmanager
def _sentences() -> Iterator[None]:
    """Tell what went wrong in a sentence and an exit code, without a traceback."""
    from prefixes.errors import PrefixError
    from prefixes.interop.errors import ConversionRefused

    try:
        yield
    except (ConversionRefused, PrefixError, OSError) as error:
        typer.echo(f"polyprefix: {error}", err=True)
        sys.exit(_FAILED)
