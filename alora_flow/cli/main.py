"""The `alora-flow` command: every subcommand is a small file of its own, imported when it is called."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from difflib import get_close_matches
from importlib import import_module

import click

from alora_flow.cli.output import is_terminal
from alora_flow.errors import FlowError
from alora_flow.language.report.diagnostics import FlowErrors
from alora_flow.language.report.render import harmless, render, render_failure

COMMANDS = {
    "calibrate": "Fit where an intrinsic decides, on labelled rows.",
    "check": "Report every mistake in flow files.",
    "eval": "Measure intrinsics or flows on labelled rows.",
    "fmt": "Write flow files in the canonical form.",
    "graph": "Draw a flow as a graph.",
    "intrinsics": "List, show and check the intrinsics of a library.",
    "list": "List the flows of a file.",
    "mini": "Train and evaluate the bundled model.",
    "models": "List the models at hand, and fetch others.",
    "new": "Write a small flow file to start from.",
    "paper": "Write the tables of the Activated LoRA paper for a model of your own.",
    "plan": "Show what a run would compute and reuse.",
    "run": "Run a flow.",
    "show": "Show a flow file at one of its stages.",
    "stubs": "Write a flow file's types for Python's type checkers.",
    "test": "Run the tests in flow files.",
    "train": "Train intrinsics on labelled rows.",
}
"""Name → one line of help; the command is `alora_flow.cli.NAME.command`."""


EXIT_CODES = (
    "Exit codes: 0 success, 1 bad input (a wrong file, model or value), 2 bad usage, 3 the run failed, 130 interrupted."
)


class _Lazy(click.Group):
    """Imports a subcommand's file only when it is wanted, so that `check` never waits for what `run` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"alora_flow.cli.{cmd_name}").command
        command.epilog = command.epilog or EXIT_CODES
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        close = get_close_matches(args[0], COMMANDS, n=1) if args[0] not in COMMANDS else []
        if close:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{close[0]}'?")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Lazy, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="alora-flow")
def group() -> None:
    """A language for LLM flows in which small activated adapters are first-class."""


def main() -> None:
    """The console script. Exit codes: 1 bad input, 2 bad usage, 3 the run failed, 130 interrupted; never a traceback
    for a mistake."""
    atexit.register(gc.freeze)  # what is left goes with the process: Python would look for cycles in it first
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads starve whatever shares the cores
    try:
        sys.exit(group.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except FlowErrors as error:
        click.echo(
            render(error.diagnostics, color=is_terminal(sys.stderr) and not os.environ.get("NO_COLOR")), err=True
        )
        sys.exit(1)
    except FlowError as error:
        said = render_failure(error)
        click.echo(harmless(said) if is_terminal(sys.stderr) else said, err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
