"""comfyui-motion bench: how fast the networks run here."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path

import torch

from ..bench import faces
from ..bench import measure as bench
from ..bench.gpu import Plan, report
from ..bench.report import page, update_readme
from ..devices import device_of
from ..errors import InputError
from ..media.files import made_folder, write_text, write_whole
from .arguments import DTYPES
from .out import say


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
        "--minutes", type=float, default=12, metavar="N", help="the report's, at most (12)"
    )


def run(options: argparse.Namespace) -> None:
    """Measures, and writes NAME.md, NAME.json and NAME.png, NAME being the device's."""
    device = device_of(options.device)
    if options.faces:
        write_faces(Path(options.output), *options.faces)
        return
    if options.gpu:
        plan = Plan.small if device.type == "cpu" else Plan
        write_report(Path(options.output), device, plan(minutes=options.minutes))
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


def write_report(folder: Path, device: torch.device, plan: Plan) -> None:
    """gpu-NAME.json and gpu-NAME.md, NAME being the device's, and of a GPU the README's section.
    Raises InputError outside a checkout.
    """
    goldens, samples = Path("tests/golden"), Path("samples")
    if not goldens.is_dir() or not samples.is_dir():
        raise InputError(
            "The report needs the recorded cases and the samples of a checkout: run it in the"
            " repository's folder."
        )
    found = report(plan, device, goldens, samples, lambda row: say(row, flush=True))
    folder = made_folder(folder)
    name = re.sub(r"[^a-z0-9]+", "-", found["machine"].partition(",")[0].lower()).strip("-")
    text = json.dumps(found, indent=1)
    for suffix, content in ((".json", text), (".md", page(found))):
        write_text(folder / f"gpu-{name}{suffix}", content)
    if device.type != "cpu":
        update_readme(Path("README.md"), found, f"gpu-{name}")
    say(f"{page(found)}\nwritten to {folder}/gpu-{name}.md and .json")
