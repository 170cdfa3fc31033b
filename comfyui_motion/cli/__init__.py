"""comfyui-motion: the library on a command line. One file a command.

Errors are one sentence on standard error and exit code 2; Ctrl-C is 130, kill 143. A target is
whole or not there.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ..errors import MotionError
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
    puppets,
    submit,
    swap,
    train,
)
from .stopping import SAID, stoppable

__all__ = ["main"]

COMMANDS = {
    "animate": animate,
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(format="comfyui-motion: %(message)s")  # what the library warns of
    try:
        with stoppable():
            options.run(options)
            sys.stdout.flush()
    except MotionError as error:
        print(f"comfyui-motion: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as stop:
        print(SAID, file=sys.stderr)
        return getattr(stop, "code", 130)
    return 0


def parser() -> argparse.ArgumentParser:
    """Every command and its options."""
    root = argparse.ArgumentParser(
        prog="comfyui-motion", description="A still picture moves as a driving clip moves."
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=command.HELP,
            epilog=getattr(command, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_options(added)
        added.set_defaults(run=command.run)
    return root
