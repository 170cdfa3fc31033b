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
from importlib import import_module
from typing import Any, NoReturn

from ..doors.limits import ENVIRONMENT, Limits, limits
from ..errors import MotionError, reason_of
from .out import NAME, Parser, complain, write_anything
from .stopping import GRACE, SAID, WITH_WORKERS, beginning, stoppable

__all__ = ["COMMANDS", "main", "program"]
SWITCH = 1e-3  # seconds until Python's lock is passed on: threads that wait have little to do
COMMANDS = {
    "animate": "move a picture as a clip moves",
    "pose": "a face posed by hand: dials for head, eyes, brows, mouth",
    "swap": "parts of one picture in place of another's, or of a clip's",
    "passes": "STMap, motion vectors, occlusion and mattes of a field or a clip, for compositors",
    "live": "a picture moves as whoever sits before the camera does",
    "batch": "many pictures by many clips, as a table says: resumable, over processes, devices,"
    " machines",
    "submit": "a workflow over many inputs, on one or several ComfyUI servers",
    "inspect": "what a checkpoint is, without building it",
    "convert": "a checkpoint to safetensors: smaller, safe, quick to open",
    "models": "the published checkpoints, which are installed, what suits what",
    "evaluate": "how well models do on clips they did not see: a table, JSON, a sheet of the worst"
    " frames",
    "puppets": "drawn clips that know their joints, their flow and what is hidden: some to look at",
    "train": "a model from clips, or from drawn puppets that know the truth",
    "bench": "how fast the networks run here, against the plain loop of the published programs",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    write_anything()
    given = sys.argv[1:] if arguments is None else arguments
    with beginning():
        _prepared()
        for name in [word for word in given if word in COMMANDS][:1]:
            _command(name)
    try:
        with stoppable(GRACE) as stopping:
            options = parser().parse_args(arguments)
            if options.limits:
                os.environ[ENVIRONMENT] = options.limits
            alone = getattr(_command(options.command), "GRACE", GRACE)
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


def _prepared() -> None:
    """How this process uses memory and cores, told before PyTorch is loaded."""
    from ..heap import keep_freed

    keep_freed()
    # threads that wait for one another sleep: the cores are the codecs' and other frames'
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.setswitchinterval(SWITCH)


def _command(name: str) -> Any:
    """One command's module. It loads PyTorch, which takes a second or two."""
    return import_module(f".{name}", __name__)


class _Command(Parser):
    """A command's parser, which knows its options once it is asked: the others' stay unread."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        name = self.prog.split()[-1]
        if self.get_default("run") is None:
            command = _command(name)
            self.epilog = getattr(command, "EPILOG", None)
            command.add_options(self)
            self.set_defaults(run=command.run)
        return super().parse_known_args(args, namespace)


def parser() -> Parser:
    """Every command and its options."""
    root = Parser(prog=NAME, description="A still picture moves as a driving clip moves.")
    root.add_argument(
        "--limits",
        metavar="NAME=NUMBER,...",
        help="what a file may cost, where a sentence says that it costs more: pixels=400e6;"
        f" there are {', '.join(field.name for field in fields(Limits))}",
    )
    added = root.add_subparsers(
        required=True, metavar="COMMAND", dest="command", parser_class=_Command
    )
    for name, what in COMMANDS.items():
        added.add_parser(name, help=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    return root
