"""comfyui-motion models: the catalogue."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from .. import catalogue
from .out import say, say_json


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> None:
    """The catalogue."""
    found = catalogue.installed()
    if options.json:
        say_json(
            [
                {**asdict(entry), "installed": str(found[entry]) if entry in found else None}
                for entry in catalogue.entries()
            ]
        )
        return
    say(
        "flow: needs no weights, moves anything; what the default, face, hands over to where"
        " there is no face"
    )
    for name in catalogue.bundled():
        say(f"{name}: comes with the pack, see models/{name}.md")
    say()
    for entry in catalogue.entries():
        where = (
            f"installed: {found[entry]}"
            if entry in found
            else f"not installed; {entry.files[0]}, see models/{entry.card}"
        )
        say(
            f"{entry.name} ({entry.size or '?'} px): {entry.suits}\n    {where}\n    licence:"
            f" {entry.licence or 'not known'}. {entry.permits}"
        )
    say(
        "\nLooked in: "
        + (
            ", ".join(str(path) for path in catalogue.search_paths())
            or "no folder; set COMFYUI_MOTION_MODELS"
        )
    )
    say("Nothing is downloaded unless you do it.")
