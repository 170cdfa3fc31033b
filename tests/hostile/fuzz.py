"""make fuzz: files that mean harm, opened one after the other, each within so much time and memory.

    python tests/hostile/fuzz.py [--seed 0] [--rounds 300]

Bounded: so many mutants of every kind of file, then every file made by hand. An answer is a result
or one of the library's sentences, within 5 seconds of the processor's time and 1 GB (and within a
minute by the clock, so that nothing waits for ever). What is neither is printed with the
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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mutants
import torch
from kinds import PICTURE, WEIGHTS, Reader, kinds

import comfyui_motion as motion

SECONDS, WAIT, BYTES = 5, 60, 1e9
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
    raise Late(f"no answer within {SECONDS} s of work, or {WAIT} s of waiting")


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def attempt(tally: Tally, label: str, work: Callable[[], Any]) -> None:
    before, began = peak(), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(WAIT)
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
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    tally.slowest = max(tally.slowest, time.process_time() - began)
    if peak() - before > BYTES:
        tally.wrong.append(f"{label}: {(peak() - before) / 1e9:.1f} GB")


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
    parser.add_argument("--only", default="", help="kinds of file with this in their name")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGPROF, late)
    torch.set_num_threads(1)
    found: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in kinds(folder):
            if options.only not in kind.name:
                continue
            tally = found.setdefault(kind.name, Tally())
            chance = random.Random(f"{options.seed} {kind.name}")
            for number in range(max(1, round(kind.share * options.rounds))):
                label = f"{kind.name}, seed {options.seed}, round {number}"
                spoilt = kind.change(kind.whole, chance)
                open_all(tally, folder / kind.name, spoilt, label, kind.readers)
            (folder / kind.name).write_bytes(kind.whole)
        for file, data in by_hand() if not options.only else ():
            tally = found.setdefault("made by hand", Tally())
            readers = WEIGHTS if file.endswith(".pth") else PICTURE
            open_all(tally, folder / file.replace(" ", "-"), data, file, readers)
    for label, text in mutants.documents() if not options.only else ():
        tally = found.setdefault("keypoints", Tally())
        attempt(tally, label, lambda text=text: motion.Keypoints.from_json(text))
    return report(found)


def open_all(tally: Tally, path: Path, data: bytes, label: str, readers: Iterable[Reader]) -> None:
    path.write_bytes(data)
    wrong = len(tally.wrong)
    for read in readers:
        attempt(tally, label, lambda read=read: read(path))
    if len(tally.wrong) > wrong:
        KEPT.mkdir(exist_ok=True)
        name = label.replace(", ", "-").replace(" ", "").replace("/", "-")
        (KEPT / f"{name}{path.suffix}").write_bytes(data)


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
