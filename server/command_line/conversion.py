"""The commands `import` and `export`: prefix files from and to those of other programs."""

# ruff: noqa: PLC0415 - `--help` does not need torch

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.command_line.json_output import AsJson, print_json
from server.command_line.shared_options import BackboneName

if TYPE_CHECKING:
    from prefixes.backbone import Backbone
    from prefixes.interop.assembly import ImportOptions
    from prefixes.interop.report import ImportedPrefix, ImportReport


class Source(StrEnum):
    """The programs whose files can be imported."""

    PTUNING_V2 = "ptuning-v2"
    PEFT = "peft"
    ADAPTERHUB = "adapterhub"


class Target(StrEnum):
    """The programs whose files can be exported."""

    PEFT = "peft"


def import_prefix(  # noqa: PLR0917 - typer passes all by name
    source: Annotated[Source, typer.Argument(help="The program that wrote the folder.")],
    folder: Annotated[Path, typer.Argument(help="Folder of settings and weights that it saved.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The prefix file to write.")],
    backbone: BackboneName = "minilm",
    task: Annotated[str | None, typer.Option(help="TENANT/TASK to publish it as.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="All labels in order, separated by commas.")
    ] = None,
    problem_type: Annotated[
        str | None,
        typer.Option(help="Type of the problem.", show_default="single_label_classification"),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of tokens per text.", show_default="limit of the backbone"
        ),
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="Template of the text, such as '{premise}'.")
    ] = None,
    pair_template: Annotated[
        str | None, typer.Option(help="Template of the second text of a pair.")
    ] = None,
    example: Annotated[
        list[str] | None,
        typer.Option(
            help="Golden example, replayed at upload: a text, or a JSON object of fields."
        ),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
) -> None:
    """Convert a prefix of P-tuning v2, PEFT or AdapterHub to a file."""
    from dataclasses import asdict

    from prefixes.atomic import write_atomically
    from prefixes.interop.examples import with_examples
    from prefixes.names import PrefixRef

    reference = None if task is None else PrefixRef.parse(task)
    options = _import_options(labels, problem_type, max_length, template, pair_template)
    loaded = _load(backbone)
    imported = _importer(source)(folder, loaded, options)
    prefix = with_examples(loaded, imported.prefix, example or ())
    write_atomically(output, prefix.to_bytes())
    if as_json:
        print_json({"file": output, **asdict(imported.report)})
        return
    _print_report(imported.report)
    typer.echo(f"\nWrote {output}.")
    if reference is not None:
        typer.echo(
            "To publish it: curl -F file=@"
            f"{output} -H 'Authorization: Bearer KEY' "
            f"http://HOST/v1/tenants/{reference.tenant}/prefixes/{reference.task}/versions"
        )


def export_prefix(
    target: Annotated[Target, typer.Argument(help="The program that will read it.")],
    file: Annotated[Path, typer.Argument(help="A prefix file.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write.")],
    backbone: BackboneName = "minilm",
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
) -> None:
    """Convert a prefix file to a folder that PEFT loads.

    PEFT computes the same logits from it.
    """
    from prefixes.interop.peft_export import export_peft
    from prefixes.prefix import Prefix

    exporters = {Target.PEFT: export_peft}
    loaded = _load(backbone)
    prefix = Prefix.load(file, fits=[loaded.fingerprint])
    sentences = list(exporters[target](prefix, folder, loaded))
    if as_json:
        print_json({"folder": folder, "notes": sentences})
        return
    for sentence in sentences:
        typer.echo(sentence)


def _importer(source: Source) -> "Callable[[Path, Backbone, ImportOptions], ImportedPrefix]":
    from prefixes.interop.adapterhub import import_adapterhub
    from prefixes.interop.peft import import_peft
    from prefixes.interop.ptuning_v2 import import_ptuning_v2

    return {
        Source.PTUNING_V2: import_ptuning_v2,
        Source.PEFT: import_peft,
        Source.ADAPTERHUB: import_adapterhub,
    }[source]


def _import_options(
    labels: str | None,
    problem_type: str | None,
    max_length: int | None,
    template: str | None,
    pair_template: str | None,
) -> "ImportOptions":
    from prefixes.interop.assembly import ImportOptions, template_of

    return ImportOptions(
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
