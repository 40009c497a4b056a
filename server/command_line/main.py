"""The command `polyprefix`: all commands and their names.

Modules of commands import what they need when they run, so that `--help` answers at once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import typer

from server.command_line.audit import audit
from server.command_line.batch import batch
from server.command_line.canaries import (
    cancel_canary,
    promote_canary,
    set_canary,
    show_canary,
)
from server.command_line.command import Command
from server.command_line.conversion import export_prefix, import_prefix
from server.command_line.doctor import doctor
from server.command_line.evaluation import evaluate, predict
from server.command_line.feedback import (
    delete_feedback,
    export_feedback,
    generate_feedback_key,
    reencrypt_feedback,
    set_feedback,
    show_feedback,
)
from server.command_line.json_output import AsJson, print_json
from server.command_line.keys import (
    create_key,
    generate_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from server.command_line.limits import set_limits, show_limits
from server.command_line.login import login, logout
from server.command_line.openmp import limit_spinning
from server.command_line.prefixes import (
    check_prefix,
    delete_prefix,
    list_prefixes,
    promote_alias,
    pull_prefix,
    push_prefix,
    restore_prefix,
    roll_back_alias,
    show_prefix,
)
from server.command_line.rules import delete_rules, set_rules, show_rules
from server.command_line.serve import serve
from server.command_line.sharing import list_readers, share, unshare
from server.command_line.store import adopt
from server.command_line.tenants import (
    change_tenant,
    create_tenant,
    delete_tenant,
    list_tenants,
    resume_tenant,
    suspend_tenant,
)
from server.command_line.train import recipes, train
from server.command_line.usage import usage

_CONTEXT: Final[dict[str, Any]] = {
    "max_content_width": 100,
    "token_normalize_func": lambda name: name.replace("_", "-"),  # `--pre_seq_len`, as in run.py
}


def version(
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
) -> None:
    """Print the installed version."""
    from server.api.status import program_version  # noqa: PLC0415 - see above

    if as_json:
        print_json({"version": program_version()})
    else:
        typer.echo(program_version())


def main() -> None:
    """Run the command line."""
    limit_spinning()
    app(prog_name="polyprefix")


def _group(text: str, commands: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """Build a group of commands. Help and errors are plain text, because rich imports slowly."""
    group = typer.Typer(
        help=text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings=_CONTEXT,
    )
    for name, function in commands.items():
        group.command(name, cls=Command)(function)
    return group


app: Final = _group(
    "Serve and train P-tuning v2 prefixes: many tasks, one frozen encoder.",
    {
        "serve": serve,
        "version": version,
        "doctor": doctor,
        "train": train,
        "evaluate": evaluate,
        "predict": predict,
        "batch": batch,
        "recipes": recipes,
        "import": import_prefix,
        "export": export_prefix,
        "audit": audit,
        "usage": usage,
        "login": login,
        "logout": logout,
    },
)
app.add_typer(
    _group(
        "Manage API keys of tenants and operators.",
        {
            "create": create_key,
            "list": list_keys,
            "rotate": rotate_key,
            "revoke": revoke_key,
            "generate": generate_key,
        },
    ),
    name="key",
)
app.add_typer(
    _group(
        "Manage tenants.",
        {
            "create": create_tenant,
            "list": list_tenants,
            "change": change_tenant,
            "suspend": suspend_tenant,
            "resume": resume_tenant,
            "delete": delete_tenant,
        },
    ),
    name="tenant",
)
app.add_typer(
    _group("Manage the limits of tenants and of keys.", {"show": show_limits, "set": set_limits}),
    name="limits",
)
app.add_typer(
    _group(
        "Try a second version on a share of an alias's callers.",
        {
            "set": set_canary,
            "show": show_canary,
            "promote": promote_canary,
            "cancel": cancel_canary,
        },
    ),
    name="canary",
)
app.add_typer(
    _group(
        "Manage the rules of an alias, by which scores become answers.",
        {"set": set_rules, "show": show_rules, "delete": delete_rules},
    ),
    name="rules",
)
app.add_typer(
    _group(
        "Manage prefixes on a server, and share them with other tenants.",
        {
            "ls": list_prefixes,
            "show": show_prefix,
            "check": check_prefix,
            "push": push_prefix,
            "pull": pull_prefix,
            "promote": promote_alias,
            "rollback": roll_back_alias,
            "delete": delete_prefix,
            "restore": restore_prefix,
            "share": share,
            "unshare": unshare,
            "readers": list_readers,
        },
    ),
    name="prefix",
)
app.add_typer(
    _group(
        "Manage recorded answers and feedback of tenants.",
        {
            "show": show_feedback,
            "set": set_feedback,
            "delete": delete_feedback,
            "export": export_feedback,
            "generate-key": generate_feedback_key,
            "reencrypt": reencrypt_feedback,
        },
    ),
    name="feedback",
)
app.add_typer(_group("Manage the store folder and its database.", {"adopt": adopt}), name="store")
