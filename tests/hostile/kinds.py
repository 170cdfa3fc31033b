"""Every kind of file that is opened, each with a whole one to spoil and everything that reads it:
for `make fuzz`.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import lzma
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import mutants
import texts
import torch

import comfyui_motion as motion
from comfyui_motion.cli.batch import job_of
from comfyui_motion.data.puppets.clips import Puppets
from comfyui_motion.edits import Edits
from comfyui_motion.jobs.job import Journal
from comfyui_motion.jobs.servers import filled, job_of_row, read_workflow
from comfyui_motion.jobs.table import read_jobs
from comfyui_motion.poses import Poses
from comfyui_motion.training.recipe import read_recipe
from comfyui_motion.training.record import Record
from comfyui_motion.training.saved import read_content
from comfyui_motion.training.trainer import train

Reader = Callable[[Path], Any]
GOLDENS = Path(__file__).parents[1] / "golden"
FRAMES = 2  # read of a clip


@dataclass(frozen=True)
class Kind:
    """One kind of file. `beside` are what else has to lie in its folder."""

    name: str  # and its ending
    whole: bytes
    readers: tuple[Reader, ...]
    change: Callable[[bytes, random.Random], bytes] = mutants.mutated
    share: float = 1.0  # of the rounds, where each takes long


def load(path: Path) -> Any:
    return motion.load(path, device="cpu")


def film(path: Path) -> Any:
    return list(islice(motion.read_video(path).batches(1), FRAMES))


WEIGHTS: tuple[Reader, ...] = (motion.inspect, load)
PICTURE: tuple[Reader, ...] = (motion.read_picture, film)


def kinds(folder: Path) -> Iterator[Kind]:
    """In that folder files may be made."""
    for name, whole in mutants.checkpoints().items():
        yield Kind(name, whole, WEIGHTS)
    for name, whole in mutants.pictures().items():
        yield Kind(name, whole, PICTURE)
    for name in ("a.mp4", "a.webm", "b.gif"):
        motion.write_video(folder / name, torch.rand(3, 3, 32, 48), 25)
        yield Kind(f"film-{name}", (folder / name).read_bytes(), PICTURE)
    yield from models(folder)
    yield from kept(folder)
    yield from documents(folder)
    yield from trained(folder)


def models(folder: Path) -> Iterator[Kind]:
    """The pack's own weights, and LivePortrait's five files, one of them spoilt."""
    own = Path(motion.catalogue.bundled()["face"]).read_bytes()
    yield Kind("face.safetensors", own, WEIGHTS, share=0.3)
    beside = folder / "liveportrait"
    beside.mkdir()
    members = {p.stem: lzma.decompress(p.read_bytes()) for p in GOLDENS.glob("liveportrait/*.xz")}
    for name, whole in members.items():
        (beside / name).write_bytes(whole)
    for name, whole in members.items():
        yield Kind(f"liveportrait/{name}", whole, WEIGHTS, share=0.1)
        yield Kind(f"liveportrait/{name}", whole, (lambda path: load(path.parent),), share=0.1)
        (beside / name).write_bytes(whole)


def kept(folder: Path) -> Iterator[Kind]:
    """Fields, keypoints and maps in files."""
    field = motion.MotionField.identity(2, 9, 7)
    motion.save_field(folder / "field.safetensors", field)
    whole = (folder / "field.safetensors").read_bytes()
    yield Kind("field.safetensors", whole, (motion.load_field, motion.inspect))
    points = motion.Keypoints(torch.rand(2, 4, 2), torch.rand(2, 4, 2, 2))
    motion.save_keypoints(points, folder / "points.safetensors")
    whole = (folder / "points.safetensors").read_bytes()
    yield Kind("points.safetensors", whole, (motion.load_keypoints,))
    for name, whole in texts.maps(folder):
        yield Kind(name, whole, (motion.read_stmap, motion.read_picture))


def documents(folder: Path) -> Iterator[Kind]:
    """Documents, as files are and as nodes have them in their text boxes."""

    def read(from_json: Callable[[str], Any]) -> Reader:
        return lambda path: from_json(path.read_bytes().decode("utf-8", "replace"))

    for number, text in enumerate(texts.keypoints()):
        name = f"keypoints-{number + 1}.json"
        yield Kind(name, text.encode(), (read(motion.Keypoints.from_json),), texts.altered)
    points = motion.Keypoints(torch.zeros(12, 5, 2))
    yield Kind(
        "edits.json",
        texts.EDITS.encode(),
        (read(lambda text: Edits.from_json(text).apply(points, 0.2)),),
        texts.altered,
    )
    yield Kind(
        "poses.json",
        texts.POSES.encode(),
        (read(lambda text: Poses.from_json(text).frames(24)),),
        texts.altered,
    )
    workflow = (Path(__file__).parents[1] / "workflows" / "animate.json").read_bytes()
    yield Kind("workflow.json", workflow, (submitted,), texts.altered)
    for name in ("a.png", "b.mp4"):
        (folder / name).write_bytes(b"x")
    rows = [{"source": "a.png", "driving": "b.mp4", "size": "source", "strength": 1.0}] * 2
    lines = "\n".join(map(json.dumps, rows))
    jobs = functools.partial(job_of, folder, folder / "out")
    yield Kind("jobs.jsonl", lines.encode(), (lambda path: read_jobs(path, jobs),), altered_line)
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    yield Kind("jobs.csv", table.getvalue().encode(), (lambda path: read_jobs(path, jobs),))
    journal = json.dumps(
        {"fingerprint": "x", "name": "row 1", "done": True, "message": "", "seconds": 1.0}
        | {"worker": "", "tries": 1}
    )
    yield Kind("batch.jsonl", journal.encode(), (Journal,), texts.altered)
    recipe = (Path(motion.__file__).parent / "training/presets/shapes-fomm.toml").read_bytes()
    yield Kind("recipe.toml", recipe, (read_recipe,))
    yield Kind(*texts.sidecar(folder), (motion.read_stmap,), texts.altered)


def altered_line(whole: bytes, chance: random.Random) -> bytes:
    first, _, rest = whole.partition(b"\n")
    return texts.altered(first, chance) + b"\n" + rest


def submitted(path: Path) -> Any:
    workflow = read_workflow(path)
    node = next(iter(workflow))
    job = job_of_row(workflow, path.parent, path.parent, "row 1", {f"{node}.image": "a.png"})
    return json.dumps(filled(workflow, {k: str(v) for k, v in job.values.items()}))


def trained(folder: Path) -> Iterator[Kind]:
    """A training folder's state and log, which a run goes on from."""
    recipe = replace(read_recipe("shapes-fomm").lasting(2), save_every=1, sheet_every=100)
    pairs = Puppets(64, 0, kinds=("shape",))

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    def go_on(path: Path) -> None:
        with suppress(KeyboardInterrupt):
            train(recipe, pairs, path.parent, device="cpu", progress=stop)

    def read_log(path: Path) -> None:
        Record(path.parent, recipe, 1)

    begun = folder / "run"
    go_on(begun / "state.safetensors")
    yield Kind("run/log.csv", (begun / "log.csv").read_bytes(), (read_log,))
    state = begun / "state.safetensors"
    whole, content = state.read_bytes(), read_content(state)
    yield Kind(f"run/{state.name}", whole, (go_on,), share=0.1)
    state.unlink()
    yield Kind("run/state.pt", mutants.saved(content), (go_on,), share=0.1)
