"""comfyui-motion convert: a checkpoint to safetensors."""

from __future__ import annotations

import argparse

import torch

from .. import registry, saving
from .arguments import DTYPES, assumption_options
from .out import say


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("source")
    command.add_argument("target", help="a name ending in .safetensors")
    command.add_argument(
        "--dtype", choices=DTYPES, help="the number format to store weights in (the file's own)"
    )
    assumption_options(command)


def run(options: argparse.Namespace) -> None:
    """A checkpoint to safetensors."""
    before = registry.resolve(options.source)
    found = saving.convert(
        before,
        options.target,
        getattr(torch, options.dtype) if options.dtype else None,
        **dict(options.set),
    )
    say(found)
    say(f"  {before.stat().st_size / 1e6:.1f} MB before, {found.bytes / 1e6:.1f} MB now")
