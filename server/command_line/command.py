"""Command: the class of every command of `polyprefix`."""

from typing import Any

from typer.core import TyperCommand

from server.command_line.exit_codes import errors_as_exit_codes


class Command(TyperCommand):
    """A command that reports errors by exit code, and lists its options by section in `--help`.

    Typer itself has sections only in the help that it draws with rich, which takes 0.15 s to
    import.
    """

    def invoke(self, ctx: Any) -> Any:
        with errors_as_exit_codes():
            return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(_section_of(parameter), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _section_of(parameter: Any) -> str:
    default = "Arguments" if parameter.param_type_name == "argument" else "Options"
    return getattr(parameter, "rich_help_panel", None) or default
