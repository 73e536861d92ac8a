"""The entry point: runs a command and turns what goes wrong into one paragraph and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from xnorhw.cli.commands import DEBUG, cli
from xnorhw.cli.exporting import export
from xnorhw.cli.importing import import_
from xnorhw.cli.train import train
from xnorhw.cli.zoo import zoo
from xnorhw.ir.errors import XnorhwError

__all__ = ["main"]

for _verb in (export, import_, train, zoo):
    cli.add_command(_verb)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0, 1 after an error, 2 for wrong usage."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG in args
    args = [a for a in args if a != DEBUG]
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_DFL:
            # a build that is told to end, or whose terminal goes away, leaves nothing half-made
            signal.signal(getattr(signal, name), _terminated)
    try:
        cli.main(args, prog_name="xnorhw", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.Abort:
        _fail("interrupted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        # the reader of our output left; Python would complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            traceback.print_exc()
        _fail(_paragraph(error), 1)
    sys.exit(0)


def _terminated(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"xnorhw: error: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _paragraph(error: Exception) -> str:
    if isinstance(error, XnorhwError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror.lower()}."
    return (
        f"{type(error).__name__}: {error}. This is a fault of xnorhw, not of your input: "
        f"please report it with what the same command prints with {DEBUG}."
    )
