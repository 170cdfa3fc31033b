"""Clips on disk, as this field keeps them: `root/train` and `root/test`, or the root itself, with a
video in each entry.

A video is a folder of frames, a strip (one picture, square frames side by side), an animated gif,
or a film. What comes before `#` in its name is its identity. Nothing is kept in memory: frames are
read when a batch asks for them.
"""

from __future__ import annotations

import copy
import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import (
    InputError,
    MediaError,
    read_picture,
    read_video,
)
from ..doors.documents import read_text
from ..doors.words import listed
from ..errors import boundary
from ..media.naming import FILMS, PICTURES, natural
from ..media.opening import decoding, opened
from .pairs import Pairs

CLIPS = {*FILMS, ".gif"}
STRIPS = PICTURES - CLIPS  # and frames in folders
LAYOUT = "folders of frames, strips (.png or .jpg, square frames side by side), .gif, .mp4 or .mov"


@dataclass(frozen=True)
class Augment:
    """What is done to pairs at random: both frames alike, but for the order of time."""

    flip: float = 0.5  # the chance of a mirrored pair
    reverse: float = 0.5  # the chance that source and driving change places
    colour: float = 0.1  # brightness, contrast, saturation and hue each change by up to so much


class Clips:
    """Pairs of frames of one video each, chosen at random; every video once an epoch, in an order
    of its own.

    `size`: the side of the square that frames are brought to; None leaves them. `repeats`: how
    often a video comes in an epoch. `id_sampling`: an epoch goes through identities, each with one
    of its videos. `hold_out`: the last so many videos are left to `held_out()`. Files that cannot
    be read are left out; `skipped` says which and why. Raises InputError where there is nothing to
    read.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        size: int | None = None,
        seed: int = 0,
        augment: Augment | None = None,
        id_sampling: bool = False,
        repeats: int = 1,
        hold_out: int = 0,
    ) -> None:
        self.root, self.size, self.seed = Path(root), size, seed
        self.augment, self.id_sampling, self.repeats = augment, id_sampling, repeats
        self.skipped: dict[str, str] = {}
        self.lengths: dict[str, int] = {}  # frames of a video, once it was read
        folder = split_folder(self.root, split)
        self.paths = [
            path
            for path in sorted(folder.iterdir(), key=natural)
            if not path.name.startswith(".") and self._usable(path)
        ]
        if not self.paths:
            raise InputError(
                f"{folder} holds no video that can be read: looked for {LAYOUT}{self._why()}."
            )
        if not 0 <= hold_out < len(self.paths):
            raise InputError(
                f"hold_out leaves something to train on: it is {hold_out} of {len(self.paths)}"
                " videos."
            )
        self.kept_apart = self.paths[len(self.paths) - hold_out :]
        self.paths = self.paths[: len(self.paths) - hold_out]

    def held_out(self) -> Clips:
        """The videos kept apart, as they are."""
        other = copy.copy(self)
        other.__dict__.pop("turns", None)
        other.paths, other.kept_apart, other.augment, other.repeats = self.kept_apart, [], None, 1
        if not other.paths:
            raise InputError("no videos are held out; ask for some with hold_out=.")
        return other

    def __len__(self) -> int:
        """How many videos."""
        return len(self.paths)

    @property
    def names(self) -> list[str]:
        return [path.name for path in self.paths]

    @property
    def epoch(self) -> int:
        """How many pairs an epoch has."""
        return self.repeats * len(self.turns)

    def video(self, number: int) -> Tensor:
        """All frames of a video. N 3 H W in 0..1. Raises MediaError where it is damaged"""
        path = self.paths[number]
        return self._fitted(read_frames(path, range(count_frames(path))))

    def batch(self, step: int, count: int) -> Pairs:
        return self.part(step, count, slice(None))

    def part(self, step: int, count: int, part: slice) -> Pairs:
        """Those pairs of a batch; the others are not read."""
        numbers = range(step * count, (step + 1) * count)[part]
        draws = [random.Random(f"{self.seed} {number}") for number in numbers]
        pairs = [self._pair(number, draw) for number, draw in zip(numbers, draws, strict=True)]
        if len({pair.shape for pair in pairs}) > 1:
            raise InputError(
                f"the videos of {self.root} have frames of several sizes; give the size they are"
                " brought to."
            )
        frames = torch.stack(pairs)  # B 2 3 H W
        if self.augment:
            frames = augmented(frames, self.augment, draws)
        return Pairs(frames[:, 0].contiguous(), frames[:, 1].contiguous())

    def _pair(self, number: int, draw: random.Random) -> Tensor:
        """Two frames of the video whose turn it is; where that is damaged, of another. 2 3 H W"""
        path = self._turn(number, draw)
        for trial in range(10 * len(self.paths)):
            # so that what was met before changes nothing
            chance = random.Random(f"{self.seed} {number} {trial}")
            another = chance.choice(self.paths)
            if str(path) not in self.skipped:
                try:
                    total = self.lengths[str(path)] = self.lengths.get(str(path)) or count_frames(
                        path
                    )
                    return self._fitted(read_frames(path, chance.sample(range(total), 2)))
                except MediaError as error:
                    self.skipped[str(path)] = str(error)
            path = another
        raise InputError(f"no video of {self.root} can be read{self._why()}.")

    def _turn(self, number: int, draw: random.Random) -> Path:
        epoch, place = divmod(number, self.epoch)
        return draw.choice(
            self.turns[shuffled(self.epoch, f"{self.seed} {epoch}")[place] % len(self.turns)]
        )

    @cached_property
    def turns(self) -> list[list[Path]]:
        """What an epoch goes through: every video, or every identity with all of its videos."""
        found: dict[str, list[Path]] = {}
        for path in self.paths:
            found.setdefault(path.name.split("#")[0] if self.id_sampling else path.name, []).append(
                path
            )
        return list(found.values())

    def _usable(self, path: Path) -> bool:
        """What a glance tells, the first lines of a file or the names in a folder; damage further
        in shows when it is read.
        """
        if path.is_file() and path.suffix.lower() not in CLIPS | STRIPS:
            return False  # lists, licences: nothing was expected of it
        try:
            if path.suffix.lower() not in CLIPS and count_frames(path) < 2:
                raise MediaError("it has one frame, and a pair needs two")
            if path.is_file() and not path.stat().st_size:
                raise MediaError("it is empty")
        except MediaError as error:
            self.skipped[str(path)] = str(error)
            return False
        return True

    def _why(self) -> str:
        first = next(iter(self.skipped.items()), None)
        return (
            f" ({len(self.skipped)} left out, the first {Path(first[0]).name}: {first[1]})"
            if first
            else ""
        )

    def _fitted(self, frames: Tensor) -> Tensor:
        if self.size is None or frames.shape[-2:] == (self.size, self.size):
            return frames
        return F.interpolate(frames, (self.size, self.size), mode="bilinear", antialias=True).clamp(
            0, 1
        )


def split_folder(root: Path, split: str) -> Path:
    """`root/split`, or the root itself where it has no such folders. Raises InputError."""
    if not root.is_dir():
        raise InputError(
            f"{root} is no folder; name one with train/ and test/ inside, or with videos: {LAYOUT}."
        )
    if (root / split).is_dir():
        return root / split
    if (root / "train").is_dir() or (root / "test").is_dir():
        raise InputError(
            f"{root} has no {split}/ folder, though it has others for training or testing."
        )
    return root


def frame_paths(folder: Path) -> list[Path]:
    return sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in STRIPS and not path.name.startswith(".")
        ),
        key=natural,
    )


def count_frames(path: Path) -> int:
    """How many frames a video has, as its names, its size or its header say. Raises MediaError"""
    if path.is_dir():
        return len(frame_paths(path))
    if path.suffix.lower() in CLIPS:
        clip = read_video(path)
        total = clip.len_hint or sum(len(batch) for batch in clip.batches())
        if total < 2:
            raise MediaError("it has one frame, and a pair needs two")
        return total
    width, height = strip_size(path)
    if width % height:
        raise MediaError(f"as a strip its frames are not square: it is {width}x{height}")
    return width // height


def strip_size(path: Path) -> tuple[int, int]:
    with opened(path) as image:
        return image.size


def read_frames(path: Path, numbers: Sequence[int]) -> Tensor:
    """Those frames of a video, in that order. N 3 H W in 0..1. Raises MediaError"""
    if path.is_dir():
        paths = frame_paths(path)
        frames = [read_picture(paths[number]) for number in numbers]
        if len({frame.shape for frame in frames}) > 1:
            raise MediaError(f"the frames of {path.name} are of several sizes")
        return torch.cat(frames)
    return read_film(path, numbers) if path.suffix.lower() in CLIPS else read_strip(path, numbers)


def read_film(path: Path, numbers: Sequence[int]) -> Tensor:
    """Decoded from the start, as films are; a frame that its header promised and it lacks is its
    last.
    """
    wanted, kept, last, place = set(numbers), {}, None, 0
    for batch in read_video(path, 0, max(numbers) + 1).batches():
        for frame in batch:
            if place in wanted:
                kept[place] = frame
            last, place = frame, place + 1
    return torch.stack([kept.get(number, last) for number in numbers])


def read_strip(path: Path, numbers: Sequence[int]) -> Tensor:
    import numpy as np

    with opened(path) as image, decoding(path):
        side = image.height
        frames = [
            opaque(image.crop((number * side, 0, (number + 1) * side, side))) for number in numbers
        ]
        pixels = np.stack([np.asarray(frame) for frame in frames])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def opaque(image: Any) -> Any:
    """In RGB, on white where it is transparent."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    return Image.alpha_composite(
        Image.new("RGBA", image.size, "white"), image.convert("RGBA")
    ).convert("RGB")


@lru_cache(maxsize=4)
def shuffled(count: int, seed: str) -> list[int]:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


def augmented(frames: Tensor, augment: Augment, draws: Sequence[random.Random]) -> Tensor:
    """Pairs changed at random, each by its own draws. B 2 3 H W in 0..1"""
    from kornia import enhance

    mirrored = torch.tensor([draw.random() < augment.flip for draw in draws])
    swapped = torch.tensor([draw.random() < augment.reverse for draw in draws])
    frames = torch.where(mirrored[:, None, None, None, None], frames.flip(-1), frames)
    frames = torch.where(swapped[:, None, None, None, None], frames.flip(1), frames)
    if not augment.colour:
        return frames
    change = torch.tensor(
        [[draw.uniform(-augment.colour, augment.colour) for _ in range(4)] for draw in draws]
    )
    # one for both frames
    light, contrast, saturation, hue = change.repeat_interleave(2, dim=0).unbind(1)
    flat = frames.flatten(0, 1)
    flat = enhance.adjust_contrast(enhance.adjust_brightness(flat, light), 1 + contrast)
    flat = enhance.adjust_hue(enhance.adjust_saturation(flat, 1 + saturation), hue * 2 * torch.pi)
    return flat.clamp(0, 1).view_as(frames)


def read_pair_list(path: str | Path) -> list[tuple[str, str]]:
    """The pairs of an animation benchmark: a CSV with the columns `source` and `driving`, names of
    videos. Raises InputError.
    """
    advice = "it should be CSV with the columns source and driving"
    text = read_text(Path(path), InputError, advice)
    with boundary(InputError, f"{path} cannot be read as a list of pairs ({{reason}}); {advice}."):
        rows = csv.DictReader(text.splitlines())
        missing = {"source", "driving"} - set(rows.fieldnames or ())
        if missing:
            found = listed(rows.fieldnames or ()) or "none"
            raise InputError(
                f"{path} lists pairs in columns named source and driving; its columns are {found}."
            )
        return [(row["source"] or "", row["driving"] or "") for row in rows]
