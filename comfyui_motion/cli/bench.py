"""comfyui-motion bench: how fast the networks run here."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from ..bench import faces
from ..bench import measure as bench
from ..bench.gpu import SECTIONS
from ..bench.sections import measure_device
from ..devices import device_of
from ..media.files import made_folder, write_text, write_whole
from .arguments import DTYPES
from .out import AT_ONCE, Number, say


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
        type=Number(1, 10_000),
        default=5,
        metavar="N",
        help="alternating runs, of which medians are taken (5)",
    )
    command.add_argument(
        "--batch", type=AT_ONCE, metavar="N", help="frames at a time (by the device)"
    )
    command.add_argument("--device", help="cpu, cuda ... (a GPU where there is one)")
    command.add_argument(
        "--gpu",
        action="store_true",
        help="the whole report of a device instead, from a checkout: parity, speed by batch and"
        " size, the defaults end to end, compiled graphs, training, waits (without a GPU: the same"
        " of small networks)",
    )
    command.add_argument(
        "--faces",
        nargs=2,
        type=Path,
        metavar=("PICTURE", "CLIP"),
        help="the default model end to end instead: frames a second by size, the share of each"
        " step, written as faces.md",
    )
    command.add_argument(
        "--section",
        choices=SECTIONS,
        help="of the report, this section alone: the others stay as they were measured last",
    )
    command.add_argument(
        "--minutes",
        type=Number(0.001, whole=False),
        default=12,
        metavar="N",
        help="the report's, at most (12)",
    )


def run(options: argparse.Namespace) -> None:
    """Measures, and writes NAME.md, NAME.json and NAME.png, NAME being the device's."""
    device = device_of(options.device)
    if options.faces:
        write_faces(Path(options.output), *options.faces)
        return
    if options.gpu or options.section:
        folder = made_folder(options.output)
        file = measure_device(folder, device, options.minutes, options.section, Path())
        say(f"{file.read_text(encoding='utf-8')}\nwritten to {file} and .json")
        return
    title, folder = bench.machine(device), made_folder(options.output)
    found = []
    for family in [bench.known(name) for name in options.family or bench.usual()]:
        for measured in bench.measure(family, options.speed, device, options.runs, options.batch):
            say(
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
    say(f"{bench.table(found, title)}\nwritten to {folder}")


def write_faces(folder: Path, picture: Path, clip: Path) -> None:
    """faces.md."""
    found = []
    for one in faces.runs(picture, clip):
        say(f"{one.model} {one.width}x{one.height}: {one.rate:.1f} frames a second", flush=True)
        found.append(one)
    target = made_folder(folder) / "faces.md"
    write_text(target, faces.page(found, faces.steps(picture, clip)))
    say(f"{target.read_text()}\nwritten to {target}")
