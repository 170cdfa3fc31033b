"""White noise that sticks to a moving subject, and is white noise still, whatever the field.

A field reads the source itself in every frame, so the source's noise is drawn once and nothing adds
up from frame to frame. Each pixel of it is made of CELLS x CELLS cells, white noise as well, that
sum to it. A frame's pixel reads as many places; a cell that is read n times is split into n
independent portions of variance 1/n, as a Brownian sheet over an area splits (Chang et al., How I
Warped Your Noise, ICLR 2024; Deng et al., Infinite-Resolution Integral Noise Warping, ICLR 2025).
So the pixels of every frame are independent and normal, through folds, zooms and collapses too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..field import MotionField, check_field, identity_grid, resize
from .latents import TIME_STRIDE, check_samples, frames_of

CELLS = 4  # along each side of a pixel
Progress = Callable[[int, int], None]


def warp_noise(
    field: MotionField,
    channels: int,
    height: int,
    width: int,
    seed: int,
    degradation: float = 0.0,
) -> Tensor:
    """Gaussian noise for every frame of the field, the same noise where the same of the source is
    seen. -> B channels height width, float32 on the CPU

    Without motion it is the noise that ComfyUI draws for that seed and size. What is hidden, or
    comes from outside the source, is noise of its own, the same in every frame. `degradation`, 0 to
    1, mixes in noise that is new in every frame. Frames with the same field have the same noise,
    and one seed gives the same bits. InputError for a size, seed or degradation that cannot be.
    """
    check_field(field)
    noise = SourceNoise(channels, height, width, seed)
    check_degradation(degradation)
    return torch.stack([noise.carried(field[i], degradation, i) for i in range(len(field))])


def check_degradation(degradation: float) -> None:
    """Raises InputError unless it lies in 0..1."""
    if not isinstance(degradation, Real) or not 0 <= degradation <= 1:
        raise InputError(f"degradation runs from 0 to 1, and is {degradation!r}.")


@dataclass(frozen=True, eq=False)
class SourceNoise:
    """The noise of a still source, drawn when it is first asked for."""

    channels: int
    height: int
    width: int
    seed: int
    # the picture of a batch: it has the (item + 1)-th draw of the seed, as in the host
    item: int = 0

    def __post_init__(self) -> None:
        sizes = (self.channels, self.height, self.width)
        if not all(isinstance(n, Integral) and n > 0 for n in sizes):
            raise InputError(
                "Noise has at least one channel, row and column, whole numbers of them; asked for"
                f" were {' x '.join(map(str, sizes))}."
            )
        if not isinstance(self.seed, Integral) or not -(2**63) <= self.seed < 2**64:
            raise InputError(f"A seed is a whole number of 64 bits, and is {self.seed!r}.")

    @cached_property
    def white(self) -> Tensor:
        """C h w"""
        generator = torch.Generator().manual_seed(int(self.seed))
        shape = (1, self.channels, self.height, self.width)
        for _ in range(self.item):
            torch.randn(shape, generator=generator)
        return torch.randn(shape, generator=generator)[0]

    @cached_property
    def cells(self) -> Tensor:
        """White noise whose blocks of CELLS x CELLS sum to CELLS times `white`.

        N C, row after row of the finer picture
        """
        within = self._draw(0, self.channels, self.height, CELLS, self.width, CELLS)
        within -= within.mean((2, 4), keepdim=True)
        within += self.white[:, :, None, :, None] / CELLS
        return within.flatten(1).T.contiguous()

    @cached_property
    def unseen(self) -> Tensor:
        """Noise of what the source does not show. C h w"""
        return self._draw(2, self.channels, self.height, self.width)

    def _draw(self, purpose: int, *shape: int) -> Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(self._key(purpose)))

    def _key(self, purpose: int) -> int:
        numbers = np.random.SeedSequence([int(self.seed) % 2**64, self.item, purpose])
        return int(numbers.generate_state(1, np.uint64)[0])

    def carried(self, field: MotionField, degradation: float = 0.0, number: int = 0) -> Tensor:
        """The noise of one frame (a field of one), the `number`-th of its clip. C h w"""
        cell, seen = read_cells(field, self.height, self.width)
        times = torch.bincount(cell[seen], minlength=len(self.cells)).float()
        share = torch.where(seen, 1 / times[cell].clamp(min=1), 0)  # P K: the area each place takes
        portions = self.cells[cell.flatten()].mul_(share.flatten()[:, None])
        self._split(portions, cell.flatten(), share.flatten())
        total = portions.view(*cell.shape, -1).sum(1)  # P C
        moved = total / share.sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        moved = moved.T.reshape(self.white.shape)
        hidden = (1 - seen.float().mean(1)).view(self.height, self.width)
        if hidden.any():
            moved = (1 - hidden).sqrt() * moved + hidden.sqrt() * self.unseen
        return self._degraded(moved, degradation, number)

    def _split(self, portions: Tensor, cell: Tensor, share: Tensor) -> None:
        """Portions of a cell that is read more than once become independent of one another."""
        several = ((share > 0) & (share < 1)).nonzero()[:, 0]
        if not len(several):
            return
        cell, share = cell[several], share[several, None]
        own = normal(cell * len(self.cells) + rank(cell), self.channels, self._key(1))
        mean = torch.zeros_like(self.cells).index_add_(0, cell, own)[cell] * share
        portions.index_add_(0, several, share.sqrt() * (own - mean))

    def _degraded(self, noise: Tensor, degradation: float, number: int) -> Tensor:
        if not degradation:
            return noise
        fresh = self._draw(3 + number, *noise.shape)
        length = ((1 - degradation) ** 2 + degradation**2) ** 0.5
        return ((1 - degradation) * noise + degradation * fresh) / length


def read_cells(field: MotionField, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The cell of the source's noise that each of the places within each pixel reads, and whether
    the source shows it. h*w CELLS*CELLS twice
    """
    field = field.of_source().straightened().to("cpu")
    rows, columns = height * CELLS, width * CELLS
    x, y = (
        (torch.arange(n, dtype=torch.float32) + 0.5) / CELLS - 0.5 for n in (columns, rows)
    )  # in pixels
    span = torch.tensor([max(width - 1, 1), max(height - 1, 1)], dtype=torch.float32)
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # kh kw 2
    moved = (field.grid.float() - identity_grid(*field.size)).permute(0, 3, 1, 2)  # 1 2 H W
    moved = F.grid_sample(
        moved, (2 * places / span - 1)[None], padding_mode="border", align_corners=True
    )[0].permute(1, 2, 0)
    cell = ((places + moved * (span / 2) + 0.5) * CELLS).floor()
    seen = ((cell >= 0) & (cell < cell.new_tensor([columns, rows]))).all(
        -1
    )  # no, where not a number
    if field.occlusion:
        seen &= resize(field.occlusion[-1].float(), rows, columns)[0, 0] >= 0.5
    index = torch.where(seen, cell[..., 1] * columns + cell[..., 0], 0).long()
    return _by_pixel(index, height, width), _by_pixel(seen, height, width)


def _by_pixel(fine: Tensor, height: int, width: int) -> Tensor:
    """kh kw -> h*w k*k"""
    return fine.view(height, CELLS, width, CELLS).transpose(1, 2).reshape(height * width, -1)


def rank(cell: Tensor) -> Tensor:
    """Which reader of its cell each place is, in their order: 0 for the first. N"""
    ordered, order = cell.sort(stable=True)
    first = torch.searchsorted(ordered, ordered)
    return torch.empty_like(cell).scatter_(0, order, torch.arange(len(cell)) - first)


def normal(numbers: Tensor, channels: int, key: int) -> Tensor:
    """White noise by number: the same for the same number and key, wherever it is asked for.

    N whole numbers -> N channels, float32. SplitMix64 (Steele et al., OOPSLA 2014) and Box-Muller.
    """
    pairs = (channels + 1) // 2
    with np.errstate(over="ignore"):
        bits = numbers.numpy().astype(np.uint64)[:, None] * np.uint64(pairs)
        bits = (bits + np.arange(pairs, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        bits += np.uint64(key)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            bits ^= bits >> np.uint64(shift)
            bits *= np.uint64(factor)
        bits ^= bits >> np.uint64(31)
    low, high = (
        torch.as_tensor((half >> np.uint64(8)).astype(np.float32)) for half in _halves(bits)
    )
    length = (low + 0.5).div_(2**24).log_().mul_(-2).sqrt_()
    angle = high.mul_(2 * torch.pi / 2**24)
    return torch.cat([length * angle.cos(), length * angle.sin()], dim=1)[:, :channels]


def _halves(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower and the upper 32 bits, as 64-bit numbers."""
    return bits & np.uint64(0xFFFFFFFF), bits >> np.uint64(32)


class FieldNoise:
    """Noise as ComfyUI's samplers take it (its NOISE): `seed`, and `generate_noise(latent)`.

    A latent of pictures (B C h w) has a frame of the field for each, the one that its batch_index
    names where it has one. A latent of a film (B C T h w) has the frames that its encoder keeps:
    every `time_stride`-th.
    """

    def __init__(
        self,
        field: MotionField,
        seed: int,
        degradation: float = 0.0,
        time_stride: int = TIME_STRIDE,
    ) -> None:
        check_degradation(degradation)
        self.field, self.seed = field, seed
        self.degradation, self.time_stride = degradation, time_stride
        self._made: tuple[Any, Tensor | None] = (None, None)

    def generate_noise(
        self, input_latent: Mapping[str, Any], progress: Progress | None = None
    ) -> Tensor:
        """On the CPU, of the shape and type of the latent's samples. What was made last is kept.

        `progress` is called with (frames done, frames in all).
        """
        samples = check_samples(input_latent["samples"])
        index = input_latent.get("batch_index")
        wanted = (tuple(samples.shape), samples.dtype, None if index is None else tuple(index))
        if self._made[0] != wanted:
            self._made = wanted, self._generate(samples, index, progress).to(samples.dtype)
        assert self._made[1] is not None
        return self._made[1].clone()

    def _generate(
        self, samples: Tensor, index: Sequence[int] | None, progress: Progress | None
    ) -> Tensor:
        batch, channels, *_, height, width = samples.shape
        if index is not None and len(index) != batch:
            raise InputError(
                f"The latent's batch_index names {len(index)} pictures and it holds {batch}."
            )
        if samples.ndim == 4:
            items, numbers = [0], self._numbers(batch, index)
        else:
            items = range(batch) if index is None else index
            numbers = frames_of(len(self.field), samples.shape[2], self.time_stride)
        films: list[Tensor] = []
        for item in items:
            noise = SourceNoise(channels, height, width, self.seed, item)
            for number in numbers:
                films.append(noise.carried(self.field[number], self.degradation, number))
                if progress:
                    progress(len(films), len(items) * len(numbers))
        made = torch.stack(films)
        if samples.ndim == 4:
            return made
        return torch.unflatten(made, 0, (len(items), len(numbers))).transpose(1, 2)  # B C T h w

    def _numbers(self, batch: int, index: Sequence[int] | None) -> Sequence[int]:
        total = len(self.field)
        numbers = range(batch) if index is None else index
        if index is None and batch != total or any(not 0 <= n < total for n in numbers):
            raise InputError(
                f"The field has {total} frames, and the latent asks for"
                f" {batch if index is None else max(numbers) + 1}: give a latent of {total}"
                " pictures (Repeat Latent Batch), or a field of as many frames."
            )
        return numbers
