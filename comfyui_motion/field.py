"""MotionField: for every pixel of a frame, where in the source to read. The sole home of
align_corners.

Coordinates are (x, y). A grid built here is corner-aligned: -1 is the centre of the first pixel, +1
of the last. `align_corners` says how the numbers of a grid are *read* when a picture is sampled.
True is that same convention, and identity motion returns the source. Networks trained or run with
False read -1 and +1 as the picture's outer edges; their grids only mean what they were trained to
mean when read so. `straightened` reads such a grid in the convention it was built in, for use on
pictures of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import InputError
from .geometry.pixels import LARGE, from_pixels, identity_grid, to_pixels
from .geometry.rows import identity_rows, resized_rows, strips
from .shapes import check_shape

if TYPE_CHECKING:
    from typing_extensions import Self


DEEP = 16  # pictures of so many channels are read channels together
PADDINGS = ("zeros", "border", "reflection")
STILL = 2**-21  # the least motion that float32 coordinates can tell from none


def resize(maps: Tensor, height: int, width: int, *, align_corners: bool = False) -> Tensor:
    """Bilinear. B C h w -> B C height width; the maps themselves when they have that size."""
    if maps.shape[-2:] == (height, width):
        return maps
    return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=align_corners)


def resize_grid(grid: Tensor, height: int, width: int, *, align_corners: bool = False) -> Tensor:
    """A grid resized bilinearly: its coordinates as they are, as the published generators do; or,
    corner-aligned, its motion, so that no motion stays none at every size.

    B h w 2 -> B height width 2
    """
    if grid.shape[1:3] == (height, width):
        return grid
    if align_corners:
        still = identity_grid(grid.shape[1], grid.shape[2], grid)
        bigger = identity_grid(height, width, grid)
        return bigger + _resized(grid - still, height, width, True)
    return _resized(grid, height, width, False)


def _resized(grid: Tensor, height: int, width: int, align_corners: bool) -> Tensor:
    return resize(grid.movedim(-1, 1), height, width, align_corners=align_corners).movedim(1, -1)


Reader = Callable[[Tensor, Tensor, bool, str], Tensor]
_reader: ContextVar[Reader | None] = ContextVar("reader", default=None)


@contextmanager
def reading_by(reader: Reader) -> Generator[None]:
    """Meanwhile `sample` is this function of the same arguments: for measuring against others."""
    token = _reader.set(reader)
    try:
        yield
    finally:
        _reader.reset(token)


def sample(picture: Tensor, grid: Tensor, align_corners: bool, padding: str = "zeros") -> Tensor:
    """Read `picture` where `grid` says, bilinearly, in float32. B C h w, B H W 2 -> B C H W in the
    picture's dtype

    A batch of one picture serves any number of grids, without copies of it.
    """
    reader = _reader.get()
    if reader is not None:
        return reader(picture, grid, align_corners, padding)
    narrow = picture.dtype in (torch.bfloat16, torch.float16)  # then no gradient is asked
    if narrow and picture.is_cpu and picture.shape[1] >= DEEP and padding == "zeros":
        return _gather(picture, grid, align_corners)
    picture = picture.expand(grid.shape[0], -1, -1, -1)
    return remapped(picture.float(), grid.float(), align_corners, padding).to(picture.dtype)


def remapped(
    picture: Tensor, grid: Tensor, align_corners: bool, padding: str, mode: str = "bilinear"
) -> Tensor:
    """kornia's remap, which reads a picture where a normalised grid says.

    B C h w, B H W 2 -> B C H W
    """
    from kornia.geometry.transform import remap  # when first needed: it takes a second to import

    x, y = grid.unbind(-1)
    return remap(picture, x, y, mode, padding, align_corners, normalized_coordinates=True)


def _gather(picture: Tensor, grid: Tensor, align_corners: bool) -> Tensor:
    """The same for narrow maps of many channels on a CPU: each pixel a weighted sum of four rows of
    a table, so that channels are read together. On one core 2.4 to 5 times as fast as remap, which
    must widen them to float32 first (64 to 512 channels of bfloat16, an Intel Xeon); float32 maps
    take as long either way, and are remap's.

    Around the picture lie a row and a column of zeros before it and two after, for corners outside.
    -> B C H W, channels_last
    """
    height, width = picture.shape[-2:]
    size = grid.new_tensor([width, height], dtype=torch.float32)
    pixels = (
        (grid.float() + 1) * ((size - 1) / 2)
        if align_corners
        else ((grid.float() + 1) * size - 1) / 2
    )
    pixels = torch.minimum(torch.nan_to_num(pixels, -1.0).clamp(min=-1), size)
    corner = pixels.floor()
    (right, down), (column, row) = (pixels - corner).unbind(-1), corner.int().unbind(-1)
    stride = width + 3
    first = (row + 1) * stride + column + 1
    if len(picture) > 1:
        first = (
            first
            + stride * (height + 3) * torch.arange(len(picture), dtype=torch.int32)[:, None, None]
        )
    rows = torch.stack([first, first + 1, first + stride, first + stride + 1], dim=-1)
    weights = torch.stack(
        [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], dim=-1
    )
    table = F.pad(picture, (1, 2, 1, 2)).permute(0, 2, 3, 1).reshape(-1, picture.shape[1])
    read = F.embedding_bag(
        rows.view(-1, 4), table, mode="sum", per_sample_weights=weights.view(-1, 4).to(table.dtype)
    )
    return read.view(*grid.shape[:3], -1).permute(0, 3, 1, 2)


class Canvas(Protocol):
    """What lies on a part of a picture and knows how motion found there moves the whole."""

    def field(self, field: MotionField) -> MotionField: ...


@dataclass(frozen=True)
class PictureSize:
    """Of the picture that a field moves, in pixels."""

    height: int
    width: int


@dataclass(frozen=True, eq=False)
class MotionField:
    """A backward map for each of B frames, with what it leaves hidden."""

    grid: Tensor  # B H W 2, float32
    # each B 1 h w in 0..1, 1 = visible in the source, coarse to fine; empty: nothing is said to be
    # hidden
    occlusion: tuple[Tensor, ...] = ()
    # B K+1 H W, sums to 1: which keypoint moves each pixel, the first being the background
    contributions: Tensor | None = None
    align_corners: bool = True
    # what brings the field over the whole picture, where it covers a canvas laid on a part of it
    # (framing.canvas.Fit); None: it covers the whole picture
    covers: Canvas | None = None
    picture: PictureSize | None = None  # where the field is of a certain one

    def __post_init__(self) -> None:
        check_shape("grid", self.grid, "B H W 2")
        for level in self.occlusion:
            check_shape("occlusion", level, "B 1 h w")
        if self.contributions is not None:
            check_shape("contributions", self.contributions, "B K H W")

    @staticmethod
    def identity(batch: int, height: int, width: int, like: Tensor | None = None) -> MotionField:
        """No motion at all."""
        return MotionField(identity_grid(height, width, like).expand(batch, -1, -1, -1))

    @staticmethod
    def from_pixels(pixels: Tensor, occlusion: tuple[Tensor, ...] = ()) -> MotionField:
        """From absolute source positions in pixels of a source as large as the field.

        B H W 2, as `to_pixels` gives them.
        """
        check_shape("pixels", pixels, "B H W 2")
        return MotionField(from_pixels(pixels, pixels.shape[1], pixels.shape[2]), occlusion)

    def __len__(self) -> int:
        return self.grid.shape[0]

    def tensors(self) -> dict[str, Any]:
        """What the frames are made of, by name, a family's own additions included: tensors, and
        tuples of them.
        """
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in named.items() if isinstance(value, Tensor | tuple)}

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same field with `function` applied to every tensor of it."""
        return replace(
            self,
            **{
                n: function(v) if isinstance(v, Tensor) else tuple(map(function, v))
                for n, v in self.tensors().items()
            },
        )

    def __getitem__(self, frames: int | slice | Tensor) -> Self:
        """Some of the frames: an integer keeps the batch dimension."""
        if isinstance(frames, int):
            frames = slice(frames, frames + 1 or None)
        return self.map(lambda value: value[frames])

    @staticmethod
    def join(parts: Iterable[MotionField]) -> MotionField:
        """One after another in time. All must be of one size and kind."""
        parts = list(parts)
        named = [part.tensors() for part in parts]
        if not parts or any(n.keys() != named[0].keys() for n in named):
            raise InputError(
                "Fields can be joined when all of them carry the same maps, and there is at least"
                " one."
            )
        alike = {name: [n[name] for n in named] for name in named[0]}
        joined = {
            n: (
                torch.cat(v)
                if isinstance(v[0], Tensor)
                else tuple(map(torch.cat, zip(*v, strict=True)))
            )
            for n, v in alike.items()
        }
        return replace(parts[0], **joined)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the grid."""
        return self.grid.shape[1], self.grid.shape[2]

    @property
    def picture_size(self) -> tuple[int, int]:
        """(height, width) of the picture it moves; of the grid where none is known."""
        return self.size if self.picture is None else (self.picture.height, self.picture.width)

    def to(self, device: torch.device | str) -> Self:
        return self.map(lambda value: value.to(device))

    def straightened(self) -> Self:
        """The same grid read corner-aligned, the convention it was built in: identity motion leaves
        a picture of any size as it is.
        """
        return replace(self, align_corners=True)

    def of_source(self) -> MotionField:
        """The field that reads the whole source itself: this one, but where it covers a canvas on a
        part of it, or comes from a family whose fields read what it made of the source.
        """
        field = self.of_canvas()
        if self.covers is not None:
            field = self.covers.field(replace(field, covers=None))
        return replace(field, picture=self.picture)

    def of_canvas(self) -> MotionField:
        """The field that reads the picture the model was given: this one, but in a family whose
        fields read what it made of that picture.
        """
        return self

    def resize(self, height: int, width: int) -> Self:
        """The same motion on a grid of another size.

        Corner-aligned grids keep identity exactly; others resize as the published code does.
        """
        if self.size == (height, width):
            return self
        contributions = (
            None if self.contributions is None else resize(self.contributions, height, width)
        )
        occlusion = tuple(resize(level, height, width) for level in self.occlusion[-1:])
        grid = resize_grid(self.grid, height, width, align_corners=self.align_corners)
        return replace(self, grid=grid, occlusion=occlusion, contributions=contributions)

    def warp(self, picture: Tensor, padding: str = "zeros") -> Tensor:
        """The picture moved by the field, at the picture's own size. 1 C H W or B C H W -> B C H W

        `padding` is what lies outside the picture: "zeros", or "border" to repeat its edge.
        """
        check_shape("picture", picture, "B C H W")
        if padding not in PADDINGS:
            raise InputError(f"padding is {' or '.join(PADDINGS)}, and is {padding!r}.")
        if picture.shape[0] not in (1, len(self)):
            raise InputError(
                f"A field of {len(self)} frames warps one picture or {len(self)} of them, not"
                f" {picture.shape[0]}."
            )
        height, width = picture.shape[-2:]
        if self.align_corners and height * width > LARGE:
            return self._warped(picture, padding)
        grid = resize_grid(self.grid, height, width, align_corners=self.align_corners)
        moved = sample(picture, grid.to(picture.device), self.align_corners, padding)
        return moved if moved.requires_grad else _unmoved(moved, picture, grid)

    @torch.no_grad()
    def _warped(self, picture: Tensor, padding: str) -> Tensor:
        """`warp` of a large picture, some rows at a time."""
        height, width = picture.shape[-2:]
        frames = picture.new_empty(len(self), *picture.shape[1:])
        shift = self.grid - identity_grid(*self.size, self.grid)
        shift = shift.movedim(-1, 1).to(picture.device)
        for i, frame in enumerate(frames):
            one = picture[i % len(picture)][None]
            for rows in strips(height, width):
                offset = resized_rows(shift[i : i + 1], rows, height, width).movedim(1, -1)
                moved = sample(
                    one, identity_rows(rows, height, width, offset) + offset, True, padding
                )
                still = (offset.abs() < STILL).all(-1)
                frame[:, rows] = torch.where(still, one[0, :, rows], moved[0])
        return frames

    def occlusion_mask(self, height: int, width: int) -> Tensor:
        """What the source does not show.

        B 1 height width in 0..1, 1 = occluded, to inpaint (the finest map inverted).
        """
        if not self.occlusion:
            return self.grid.new_zeros(len(self), 1, height, width)
        level = self.occlusion[-1]
        visible = resize(level, height, width)
        visible = visible.clamp(0, 1) if visible is level else visible.clamp_(0, 1)
        return visible.neg_().add_(1)

    def to_pixels(self, height: int, width: int) -> Tensor:
        """Absolute positions (x, y) in pixels of a source of that size, 0 = centre of the first.

        B height width 2
        """
        grid = resize_grid(self.grid, height, width, align_corners=self.align_corners)
        if self.align_corners:
            return to_pixels(grid, height, width)
        return ((grid + 1) * grid.new_tensor([width, height]) - 1) / 2

    def to_stmap(self, height: int, width: int) -> Tensor:
        """The field as compositors read it. B 3 height width: red = x from the left edge, green = y
        from the bottom, in 0..1; blue 0

        Pixel centres are at half pixels, so that x = (pixel + 0.5) / width. Reckoned in float64 and
        rounded once: it is read far from where it is near 0.
        """
        exact = replace(self, grid=self.grid.double())
        x, y = (exact.to_pixels(height, width) + 0.5).unbind(-1)
        return torch.stack([x / width, 1 - y / height, torch.zeros_like(x)], dim=1).float()

    def compose(self, first: MotionField) -> MotionField:
        """The field that moves a picture by `first`, and the result by this one. Both
        corner-aligned; the grid has this one's size.

        A pixel is visible when it is visible to both.
        """
        if not (self.align_corners and first.align_corners):
            raise InputError(
                "Only corner-aligned fields compose; call straightened() on both first."
            )
        shift = (first.grid - identity_grid(*first.size, first.grid)).permute(0, 3, 1, 2)
        # beyond the edge the first field goes on as it ended
        carried = sample(shift, self.grid, True, "border").permute(0, 2, 3, 1)
        visible = list(self.occlusion[-1:])
        for level in first.occlusion[-1:]:
            grid = resize_grid(self.grid, level.shape[2], level.shape[3], align_corners=True)
            visible.append(sample(level, grid, True, "border"))
        if len(visible) == 2:
            visible = [resize(visible[1], *visible[0].shape[-2:]) * visible[0]]
        return MotionField(self.grid + carried, tuple(visible))


def _unmoved(moved: Tensor, picture: Tensor, grid: Tensor) -> Tensor:
    """What stays where it is keeps its pixels to the bit: reading between them would round."""
    grid = grid.to(picture.device)
    moved_by = grid - identity_grid(grid.shape[1], grid.shape[2], grid)
    still = (moved_by.abs() < STILL).all(-1)[:, None]
    return torch.where(still, picture, moved) if still.any() else moved


def check_field(field: Any) -> MotionField:
    """The value, if it is a motion field. Raises InputError."""
    if not isinstance(field, MotionField):
        raise InputError(
            f"A motion field was expected, and this is a {type(field).__name__}; MotionField(grid)"
            " makes one of a grid."
        )
    return field
