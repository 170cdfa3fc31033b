"""comfyui-motion bench: how fast the networks run here."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from ..bench import measure as bench
from ..devices import device_of
from ..media.files import made_folder, write_text, write_whole
from .arguments import DTYPES

HELP = "how fast the networks run here, against the plain loop of the published programs"


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "family",
        nargs="*",
        help=f"{' '.join(bench.measurable())} ({' '.join(bench.usual())})",
    )
    command.add_argument(
        "-o",
        "--output",
        default="benchmarks/results",
        metavar="DIR",
        help="where the table and the plot go (benchmarks/results)",
    )
    command.add_argument(
        "--speed",
        nargs="+",
        choices=DTYPES,
        default=["float32", "bfloat16"],
        help="the modes to measure (float32 bfloat16)",
    )
    command.add_argument(
        "--runs",
        type=int,
        default=5,
        metavar="N",
        help="alternating runs, of which medians are taken (5)",
    )
    command.add_argument("--batch", type=int, metavar="N", help="frames at a time (by the device)")
    command.add_argument("--device", help="cpu, cuda ... (a GPU where there is one)")


def run(options: argparse.Namespace) -> None:
    """Measures, and writes NAME.md, NAME.json and NAME.png, NAME being the device's."""
    device = device_of(options.device)
    title, folder = bench.machine(device), made_folder(options.output)
    found = []
    for family in [bench.known(name) for name in options.family or bench.usual()]:
        for measured in bench.measure(family, options.speed, device, options.runs, options.batch):
            print(
                f"{measured.family} {measured.path}: {measured.rate:.2f} frames/s,"
                f" {measured.ratio:.2f} times the plain loop",
                flush=True,
            )
            found.append(measured)
    write_text(folder / f"{device.type}.md", bench.table(found, title))
    document = {"machine": title, "runs": options.runs, "measured": [asdict(m) for m in found]}
    write_text(folder / f"{device.type}.json", json.dumps(document, indent=1))
    picture = folder / f"{device.type}.png"
    write_whole(picture, lambda partial: bench.plot(found, title, str(partial)))
    print(f"{bench.table(found, title)}\nwritten to {folder}")
