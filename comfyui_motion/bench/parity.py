"""The recorded cases of `tests/golden` on a device: whether pictures are what they were."""

from __future__ import annotations

import lzma
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..model import MotionModel
from ..registry import load

Row = dict[str, Any]
PREDICTIONS = (  # what a recorded case calls the picture of a driver's own pose, in this order
    "align_true.absolute.prediction",
    "align_true.standard.prediction",
    "align_true.animate.prediction",
    "standard.prediction",
    "one.prediction",
    "own.prediction",
)
AS_RECORDED = {  # what no tensor tells, by case
    "monkeynet": {"norm": 10, "clip_variance": 0},
    "mraa": {"head_padding": 3},
    "x2face-small": {"size": 64},
}
DTYPES = ("float32", "tf32", "float16", "bfloat16")


def parity(goldens: Path, device: torch.device, dtypes: Sequence[str] = DTYPES) -> Iterator[Row]:
    """Pictures of the recorded cases, against what was recorded, in each dtype on this device.

    tf32, a GPU's alone, is float32 as PyTorch runs it by default: convolutions round to 10 bits.
    """
    for folder in recorded_cases(goldens):
        for dtype in _run_on(device, dtypes):
            kind = torch.float32 if dtype == "tf32" else getattr(torch, dtype)
            rounding = torch.backends.cudnn.flags(enabled=True, allow_tf32=dtype == "tf32")
            with tempfile.TemporaryDirectory() as scratch, rounding:
                model, recorded = load_recorded(folder, Path(scratch), device, kind)
                made = _recorded_pose(model, recorded, device).float().cpu()
            wanted = next(recorded[name] for name in PREDICTIONS if name in recorded)
            made = made[1:2] if len(wanted) < len(made) else made  # the second alone is kept
            off = (made - wanted).abs()
            yield {
                "case": folder.name,
                "dtype": dtype,
                "error": float(off.max()),
                "psnr": float(-10 * off.double().square().mean().clamp(min=1e-14).log10()),
            }


def _run_on(device: torch.device, dtypes: Sequence[str]) -> list[str]:
    return [name for name in dtypes if device.type == "cuda" or name != "tf32"]


def recorded_cases(goldens: Path) -> list[Path]:
    """The folders of those that hold a checkpoint, and the picture of a driver's own pose."""
    from safetensors import safe_open

    found = []
    for file in sorted(goldens.glob("*/io.safetensors")):
        with safe_open(file, "pt") as held:
            known = set(held.keys()).intersection(PREDICTIONS)
        if known and checkpoint_files(file.parent):
            found.append(file.parent)
    return found


def load_recorded(
    folder: Path, scratch: Path, device: torch.device, dtype: torch.dtype
) -> tuple[MotionModel, dict[str, Tensor]]:
    """A case's model as its own file gives it, unpacked into `scratch`, and what was recorded."""
    from safetensors.torch import load_file

    recorded, packed = load_file(folder / "io.safetensors"), checkpoint_of(folder)
    for name, content in packed.items():
        (scratch / name).write_bytes(lzma.decompress(content))
    options: Row = {"dtype": dtype, "speed": "exact"}
    if any(name.startswith("align_true.") for name in recorded):
        options["align_corners"] = True
    options |= AS_RECORDED.get(folder.name, {})
    file = scratch / next(iter(packed)) if len(packed) == 1 else scratch
    return load(file, device=device, **options), recorded


def checkpoint_files(folder: Path) -> list[Path]:
    """One, in parts where it is large, or a set; packed."""
    return sorted(folder.glob("checkpoint.pth.tar.xz*")) or sorted(folder.glob("*.pth.xz"))


def checkpoint_of(folder: Path) -> dict[str, bytes]:
    """A recorded case's files as published, by name, packed."""
    files = checkpoint_files(folder)
    if files and files[0].name.startswith("checkpoint.pth.tar"):
        return {"checkpoint.pth.tar": b"".join(part.read_bytes() for part in files)}
    return {path.stem: path.read_bytes() for path in files}


@torch.no_grad()
def _recorded_pose(model: MotionModel, recorded: Mapping[str, Tensor], device: Any) -> Tensor:
    source = recorded["source"] if "source" in recorded else recorded["sources"][:1]
    portrait = model.encode(source.to(device))
    points = model.detect(recorded["driving"].to(device))
    return model.generate(portrait, model.motion(portrait, points))
