"""comfyui-motion models: the catalogue."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from .. import catalogue

HELP = "the published checkpoints, which are installed, what suits what"


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> None:
    """The catalogue."""
    found = catalogue.installed()
    if options.json:
        print(
            json.dumps(
                [
                    {**asdict(entry), "installed": str(found[entry]) if entry in found else None}
                    for entry in catalogue.entries()
                ],
                default=str,
            )
        )
        return
    print(
        "flow: needs no weights, moves anything; what the default, face, hands over to where"
        " there is no face"
    )
    for name in catalogue.bundled():
        print(f"{name}: comes with the pack, see models/{name}.md")
    print()
    for entry in catalogue.entries():
        where = (
            f"installed: {found[entry]}"
            if entry in found
            else f"not installed; {entry.files[0]}, see models/{entry.card}"
        )
        print(
            f"{entry.name} ({entry.size or '?'} px): {entry.suits}\n    {where}\n    licence:"
            f" {entry.licence or 'not known'}. {entry.permits}"
        )
    print(
        "\nLooked in: "
        + (
            ", ".join(str(path) for path in catalogue.search_paths())
            or "no folder; set COMFYUI_MOTION_MODELS"
        )
    )
    print("Nothing is downloaded unless you do it.")
