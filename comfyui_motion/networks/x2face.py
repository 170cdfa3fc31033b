"""X2Face: A network for controlling face generation by using images, audio, and pose codes (Wiles
et al., ECCV 2018).

One network unwraps source pictures into an embedded face, a picture like any other: it can be
looked at and painted on. Another says, for each driving frame, where that frame reads the embedded
face. There are no keypoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..field import (
    MotionField,
    identity_grid,
    resize_grid,
    sample,
)
from ..model import Family, MotionModel, Portrait, own
from ..shapes import check_shape
from .layers.blocks import Precise

CHANNELS = 3  # of pictures


@dataclass(frozen=True)
class Parameters:
    """The first block is read from the tensors; the second no tensor tells."""

    width: int  # of the outermost level; level i has min(limit, width 2^i) channels
    limit: int
    levels: int
    bottleneck: int  # channels at the bottom of the sampler

    align_corners: bool
    size: int

    @property
    def channels(self) -> int:
        return CHANNELS


PUBLISHED = Parameters(width=64, limit=512, levels=8, bottleneck=128, align_corners=True, size=256)


class Norm(Precise, nn.BatchNorm2d):
    """In float32 for features of any dtype: these networks make nothing but coordinates, and
    rounding here costs those most.
    """


class LastConv(Precise, nn.Conv2d):
    """Coordinates come out of it in float32."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.to(self.weight.dtype))


class Level(nn.Module):
    """Half the size, the levels inside, and up again; with skips, its input beside the result.

    Tensor names as its authors nested them.
    """

    def __init__(
        self, outer: int, inner: int, submodule: Level | None, skips: bool, out: int | None = None
    ) -> None:
        super().__init__()
        self.skips = skips and out is None
        down: list[nn.Module] = [
            nn.Conv2d(
                CHANNELS if out is not None else outer, inner, 4, stride=2, padding=1, bias=False
            )
        ]
        widened = 2 if skips and submodule is not None else 1
        up: list[nn.Module] = [
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        ]
        if out is not None:
            up += [LastConv(widened * inner, out, 3, padding=1, bias=False)]
        else:
            down = [nn.LeakyReLU(0.2), *down, *([] if submodule is None else [Norm(inner)])]
            up += [nn.Conv2d(widened * inner, outer, 3, padding=1, bias=False), Norm(outer)]
        self.down = nn.Sequential(*down)
        self.submodule = submodule
        self.up = nn.Sequential(*up)

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(x)
        y = self.up(y if self.submodule is None else self.submodule(y))
        return torch.cat([y, x], dim=1) if self.skips else y


class UNet(nn.Module):
    """All the levels [`netG.model`]. B 3 H W -> B out H W, float32"""

    def __init__(
        self, spec: Parameters, out: int, skips: bool, bottleneck: int | None = None
    ) -> None:
        super().__init__()
        widths = [min(spec.limit, spec.width * 2**i) for i in range(spec.levels)]
        widths[-1] = bottleneck or widths[-1]
        level = None
        for outer, inner in reversed(list(zip(widths, widths[1:], strict=False))):
            level = Level(outer, inner, level, skips)
        self.netG = nn.Module()
        self.netG.model = Level(0, widths[0], level, skips, out)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.get_submodule("netG.model")(pictures)


@dataclass(frozen=True, eq=False)
class DrivingGrids:
    """What this family has in place of keypoints: for each driving frame, where its pixels read the
    embedded face.
    """

    grid: Tensor  # B H W 2, corner-aligned, float32

    def __post_init__(self) -> None:
        check_shape("grid", self.grid, "B H W 2")

    def map(self, function: Callable[[Tensor], Tensor]) -> DrivingGrids:
        return DrivingGrids(function(self.grid))

    def __len__(self) -> int:
        return len(self.grid)

    def __getitem__(self, frames: int | slice | Tensor) -> DrivingGrids:
        """Some of the frames: an integer keeps the batch dimension."""
        if isinstance(frames, int):
            frames = slice(frames, frames + 1 or None)
        return self.map(lambda grid: grid[frames])

    def to(self, device: torch.device | str) -> DrivingGrids:
        return self.map(lambda grid: grid.to(device))

    @staticmethod
    def join(parts: Iterable[DrivingGrids]) -> DrivingGrids:
        """One after another in time."""
        return DrivingGrids(torch.cat([part.grid for part in parts]))


@dataclass(frozen=True, eq=False)
class X2FacePortrait(Portrait):
    """`embedded` is what frames are drawn from: edit it with `dataclasses.replace(portrait,
    embedded=...)`.
    """

    embedded: Tensor = field(kw_only=True)  # 1 C H W in 0..1
    unwrapping: Tensor = field(kw_only=True)  # N H W 2: where the embedded face reads each source


@dataclass(frozen=True, eq=False)
class X2FaceField(MotionField):
    """A field that reads the embedded face."""

    unwrapping: Tensor = field(kw_only=True)  # B H W 2: where that face reads the (first) source

    def of_canvas(self) -> MotionField:
        return self.straightened().compose(MotionField(self.unwrapping))


class X2Face(MotionModel):
    family = "x2face"
    many_sources = True
    compares = False
    spec: Parameters

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.pix2pixUnwrapped = UNet(spec, CHANNELS, skips=True)
        self.pix2pixSampler = UNet(spec, 2, skips=False, bottleneck=spec.bottleneck)

    @property
    def multiple(self) -> int:
        return 2**self.spec.levels

    def accept(self, frames: Tensor, name: str = "frames") -> Tensor:
        height, width = frames.shape[-2:]
        if frames.ndim == 4 and (height, width) != (self.size, self.size):
            raise InputError(
                f"This {self.family} network takes pictures of {self.size}x{self.size} and no"
                f" other, and {name} is {width}x{height}; resize it, or let animate() do it."
            )
        return super().accept(frames, name)

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> DrivingGrids:
        """Where each frame reads the embedded face: its offsets pass through two tanh, as
        published.
        """
        return DrivingGrids(self._read(torch.tanh(self.pix2pixSampler(self.accept(frames)))))

    def encode(self, source: Tensor) -> X2FacePortrait:
        """N C H W, all of one face: they are unwrapped into one embedded face."""
        pictures = self.accept(source, "source")
        grid, confidence = self.unwrap(pictures)
        points, face = self.detect(pictures[:1]), self.embed(pictures, grid, confidence)
        return X2FacePortrait(pictures, points, embedded=face, unwrapping=grid)

    def portraits(self, sources: Tensor) -> X2FacePortrait:
        """An embedded face for each source, driven by nothing yet: as it lies."""
        pictures = self.accept(sources, "sources")
        grid, _ = self.unwrap(pictures)
        embedded = sample(pictures.float(), grid, self.spec.align_corners)
        still = DrivingGrids(identity_grid(self.size, self.size, grid)[None])
        return X2FacePortrait(pictures, still, embedded=embedded, unwrapping=grid)

    def unwrap(self, sources: Tensor) -> tuple[Tensor, Tensor]:
        """Where the embedded face reads each source, and how much it trusts what it finds there.

        N H W 2, N 1 H W
        """
        maps = self.pix2pixUnwrapped(sources)
        return self._read(maps[:, :2]), maps[:, 2:]

    def embed(
        self, sources: Tensor, grid: Tensor, confidence: Tensor, floor: float = 0.1
    ) -> Tensor:
        """The sources unwrapped and averaged, each pixel with the weight exp(confidence) + floor. 1
        C H W float32

        Frames are drawn with the published floor of 0.1. The authors' embedded face for editing has
        none.
        """
        weight = confidence.exp() + floor
        pictures = sample(sources.float(), grid, self.spec.align_corners)
        return (pictures * weight).sum(dim=0, keepdim=True) / weight.sum(dim=0, keepdim=True)

    def motion(self, portrait: Portrait, pose: Any, frames: Tensor | None = None) -> X2FaceField:
        """The field reads `portrait.embedded`; `of_source` gives the one that reads the source."""
        portrait = own(portrait, X2FacePortrait)
        grid = pose.to(self.device).grid
        # one face of several sources, or as many faces as sources
        unwrapping = portrait.unwrapping[: len(portrait.embedded)]
        return X2FaceField(
            grid,
            align_corners=self.spec.align_corners,
            unwrapping=unwrapping.expand(len(grid), -1, -1, -1),
        )

    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        """The embedded face as its own fields read it; the source as any other field does."""
        portrait = own(portrait, X2FacePortrait)
        face = portrait.embedded if isinstance(field, X2FaceField) else portrait.picture[:1].float()
        grid = resize_grid(field.grid.to(self.device), self.size, self.size, align_corners=True)
        return sample(face.to(self.device), grid, self.spec.align_corners).clamp(0, 1)

    @staticmethod
    def _read(offset: Tensor) -> Tensor:
        """tanh(offset) + grid. B 2 H W -> B H W 2"""
        return torch.tanh(offset).permute(0, 2, 3, 1) + identity_grid(
            offset.shape[2], offset.shape[3], offset
        )


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    return any("pix2pixUnwrapped." in name for name in tensors)


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("state_dict."): tensor for name, tensor in tensors.items()}


def configure(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Parameters as the shapes tell them."""
    tensors = rename(tensors)
    depths = [name.count("submodule.") for name in tensors if name.startswith("pix2pixUnwrapped.")]
    unwrapped, sampler = (
        [
            tensors[f"{net}.netG.model.{'submodule.' * i}down.{1 if i else 0}.weight"].shape[0]
            for i in range(max(depths) + 1)
        ]
        for net in ("pix2pixUnwrapped", "pix2pixSampler")
    )
    return {
        "width": unwrapped[0],
        "limit": max(unwrapped),
        "levels": len(unwrapped),
        "bottleneck": sampler[-1],
    }


FAMILY = Family(
    name="x2face",
    model=X2Face,
    published=PUBLISHED,
    recognise=recognise,
    configure=configure,
    rename=rename,
    assumed=("align_corners", "size"),
)
