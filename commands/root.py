"""The command line as a whole: what happens without a command, and how its complaints are told."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from core.errors import ConfigurationError

ClickException: Any = typer.BadParameter.__mro__[2]
"""What every complaint about a command line is; typer does not export it."""


class RunByDefault(TyperGroup):
    """`main.py --for 60` means `main.py run --for 60`: whoever names no command wants to trade."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        about_the_program = {"--help", "-h", "--version"}
        if not args or (args[0].startswith("-") and args[0] not in about_the_program):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Say what is wrong with a command line in one plain line, as every other error is said; exit code 2."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except (ClickException, ConfigurationError) as error:
            text = error.format_message() if isinstance(error, ClickException) else str(error)
            where = "" if text.startswith("command line:") else "command line: "
            typer.echo(where + " ".join(text.replace("Value error, ", "").split()) + "; see --help", err=True)
            sys.exit(2)
        except typer.Abort:
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)
