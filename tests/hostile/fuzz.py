"""make fuzz: files that mean harm, opened one after the other, each within so much time and memory.

    python tests/hostile/fuzz.py [--seed 0] [--rounds 300]

Bounded: so many mutants of every kind of file, then every file made by hand. An answer is a result
or one of the library's sentences, within 5 seconds and 1 GB. What is neither is printed with the
seed and the round that made it, is kept in the folder `fuzz`, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import mutants
import torch

import comfyui_motion as motion

SECONDS, BYTES = 5, 1e9
KEPT = Path("fuzz")


@dataclass
class Tally:
    """What came of one kind of file."""

    tried: int = 0
    results: int = 0
    sentences: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Late(BaseException):
    """Nothing turns this one into a sentence."""


def late(*_: object) -> None:
    raise Late(f"no answer within {SECONDS} s")


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def attempt(tally: Tally, label: str, work: Callable[[], Any]) -> None:
    before, began = peak(), time.monotonic()
    signal.alarm(SECONDS)
    tally.tried += 1
    try:
        work()
        tally.results += 1
    except motion.MotionError as error:
        tally.sentences += 1
        if not str(error).isprintable() or "<" in str(error) or len(str(error)) > 1000:
            tally.wrong.append(f"{label}: no sentence: {str(error)[:100]!r}")
    except BaseException as error:
        tally.wrong.append(f"{label}: {type(error).__name__}: {str(error)[:100]}")
    finally:
        signal.alarm(0)
    tally.slowest = max(tally.slowest, time.monotonic() - began)
    if peak() - before > BYTES:
        tally.wrong.append(f"{label}: {(peak() - before) / 1e9:.1f} GB")


def readers(name: str) -> list[Callable[[Path], Any]]:
    if name.endswith((".pth", ".safetensors")):
        return [motion.inspect, lambda path: motion.load(path, device="cpu")]
    return [motion.read_picture, lambda path: list(islice(motion.read_video(path).batches(1), 2))]


def seeds(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A whole file of every kind."""
    yield from mutants.checkpoints().items()
    yield from mutants.pictures().items()
    for name in ("a.mp4", "a.webm", "b.gif"):
        motion.write_video(folder / name, torch.rand(3, 3, 32, 48), 25)
        yield f"film-{name}", (folder / name).read_bytes()


def by_hand() -> Iterator[tuple[str, bytes]]:
    for name, data in mutants.pickles().items():
        yield f"{name}.pth", data
    for name, data in mutants.SCRIPTS.items():
        for ending in ("png", "mp4"):
            yield f"{name}.{ending}", data
    yield "large.png", mutants.png(20_000, 20_000, rows=0)
    yield "long.gif", mutants.gif(3000, 150)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=300, help="mutants of each kind of file")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, late)
    torch.set_num_threads(1)
    found: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, whole in seeds(folder):
            tally = found[file] = Tally()
            chance = random.Random(f"{options.seed} {file}")
            for number in range(options.rounds):
                label = f"{file}, seed {options.seed}, round {number}"
                open_all(tally, folder / file, mutants.mutated(whole, chance), label)
        for file, data in by_hand():
            tally = found.setdefault("made by hand", Tally())
            open_all(tally, folder / file.replace(" ", "-"), data, file)
    for label, text in mutants.documents():
        tally = found.setdefault("keypoints", Tally())
        attempt(tally, label, lambda text=text: motion.Keypoints.from_json(text))
    return report(found)


def open_all(tally: Tally, path: Path, data: bytes, label: str) -> None:
    path.write_bytes(data)
    wrong = len(tally.wrong)
    for read in readers(path.name):
        attempt(tally, label, lambda read=read: read(path))
    if len(tally.wrong) > wrong:
        KEPT.mkdir(exist_ok=True)
        (KEPT / f"{label.replace(', ', '-').replace(' ', '')}{path.suffix}").write_bytes(data)


def report(found: dict[str, Tally]) -> int:
    print(
        "| file | opened | results | sentences | slowest, s | neither |\n|---|---|---|---|---|---|"
    )
    for name, tally in found.items():
        print(
            f"| {name} | {tally.tried} | {tally.results} | {tally.sentences}"
            f" | {tally.slowest:.2f} | {len(tally.wrong)} |"
        )
    wrong = [line for tally in found.values() for line in tally.wrong]
    for line in wrong[:50]:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
