"""comfyui-motion: the library on a command line. One file a command.

Errors are one sentence on standard error and exit code 2; Ctrl-C is 130, SIGTERM 143. A target is
whole or not there.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Any, NoReturn

from ..doors.limits import ENVIRONMENT, Limits, limits
from ..errors import MotionError, reason_of
from .out import NAME, Parser, complain, write_anything
from .stopping import GRACE, SAID, WITH_WORKERS, beginning, stoppable

__all__ = ["main", "program"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    write_anything()
    with beginning():
        commands = _commands()
    try:
        with stoppable(GRACE) as stopping:
            options = parser(commands).parse_args(arguments)
            if options.limits:
                os.environ[ENVIRONMENT] = options.limits
            alone = getattr(commands[options.command], "GRACE", GRACE)
            stopping.grace = WITH_WORKERS if getattr(options, "workers", None) else alone
            logging.basicConfig(format=f"{NAME}: %(message)s")  # what the library warns of
            limits()  # that they can be read
            options.run(options)
            sys.stdout.flush()
    except MotionError as error:
        complain(error)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        complain(f"{named}{reason_of(error)} (the system's words, [Errno {error.errno}]).")
        return 2
    except MemoryError as error:
        complain(
            f"Memory ran out ({reason_of(error)}): choose smaller pictures, fewer at a time"
            " (--batch 1), or close what else is running."
        )
        return 2
    except KeyboardInterrupt as stopped:
        complain(SAID)
        return getattr(stopped, "code", 130)
    return 0


def program() -> NoReturn:
    """The command as a program of its own. Stopped by a signal it ends at once: taking PyTorch down
    in order takes seconds, and nothing is left to be done.
    """
    code = main()
    if code > 128:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _commands() -> dict[str, Any]:
    """The commands, by name. They load PyTorch, which takes seconds."""
    from ..heap import keep_freed

    keep_freed()
    from . import (
        animate,
        batch,
        bench,
        convert,
        evaluate,
        inspect,
        live,
        models,
        passes,
        pose,
        puppets,
        submit,
        swap,
        train,
    )

    return {
        "animate": animate,
        "pose": pose,
        "swap": swap,
        "passes": passes,
        "live": live,
        "batch": batch,
        "submit": submit,
        "inspect": inspect,
        "convert": convert,
        "models": models,
        "evaluate": evaluate,
        "puppets": puppets,
        "train": train,
        "bench": bench,
    }


def parser(commands: dict[str, Any] | None = None) -> Parser:
    """Every command and its options."""
    root = Parser(prog=NAME, description="A still picture moves as a driving clip moves.")
    root.add_argument(
        "--limits",
        metavar="NAME=NUMBER,...",
        help="what a file may cost, where a sentence says that it costs more: pixels=400e6;"
        f" there are {', '.join(field.name for field in fields(Limits))}",
    )
    added = root.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, command in (commands or _commands()).items():
        options = added.add_parser(
            name,
            help=command.HELP,
            epilog=getattr(command, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_options(options)
        options.set_defaults(run=command.run)
    return root
