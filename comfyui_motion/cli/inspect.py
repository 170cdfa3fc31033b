"""comfyui-motion inspect: what a checkpoint is."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from .. import registry
from .out import say, say_json


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", nargs="+")
    command.add_argument("--json", action="store_true", help="one JSON object a file")


def run(options: argparse.Namespace) -> None:
    """What each file is."""
    for file in options.file:
        found = registry.inspect(registry.resolve(file))
        say_json(asdict(found)) if options.json else say(found)
