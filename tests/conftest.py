"""What the tests share: recorded cases of the published networks, and the tensor tables of the
published checkpoints. How they share a machine.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
    # Each of several workers has a core for itself; read when PyTorch and OpenCV are imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from comfyui_motion.checkpoint import clean

HERE = Path(__file__).parent / "golden"


def pytest_configure() -> None:
    """Ctrl-C works in the programs that tests start, though a shell that starts the suite in the
    background would have it ignored by all of them.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def golden_folders() -> list[Path]:
    """The cases of a fuller set elsewhere, if $COMFYUI_MOTION_GOLDENS names one, then
    this clone's.
    """
    elsewhere = os.environ.get("COMFYUI_MOTION_GOLDENS")
    return [*([Path(elsewhere)] if elsewhere else []), HERE]


@dataclass(frozen=True)
class Golden:
    """One recorded case. `tensors` by flattened name, `io` by recorded name, `meta` the authors'
    configuration, `file` as published.
    """

    tensors: dict[str, Tensor]
    io: dict[str, Tensor]
    meta: dict[str, Any]
    file: bytes


def packed(folder: Path, checkpoint: str) -> list[Path]:
    """The parts of a recorded checkpoint: one file, or several where it is large."""
    whole = folder / f"{checkpoint}.pth.tar.xz"
    return [whole] if whole.exists() else sorted(folder.glob(f"{whole.name}.[0-9]"))


def read_golden(folder: Path, checkpoint: str = "checkpoint") -> Golden:
    file = lzma.decompress(b"".join(part.read_bytes() for part in packed(folder, checkpoint)))
    content = torch.load(io.BytesIO(file), weights_only=True)
    tensors = clean(content, folder).tensors
    return Golden(
        tensors,
        load_file(folder / "io.safetensors"),
        json.loads((folder / "meta.json").read_text()),
        file,
    )


@pytest.fixture(scope="session")
def golden() -> Callable[..., Golden]:
    """golden(case, checkpoint="checkpoint"): a recorded case, or skip where neither
    folder has it.
    """

    def find(case: str, checkpoint: str = "checkpoint") -> Golden:
        for folder in golden_folders():
            if packed(folder / case, checkpoint):
                return read_golden(folder / case, checkpoint)
        pytest.skip(
            f"the golden {case} is not in tests/golden; set COMFYUI_MOTION_GOLDENS to a folder that"
            " has it"
        )

    return find


@dataclass(frozen=True)
class GoldenSet:
    """A recorded case of a checkpoint that is several files: their folder, and what is recorded."""

    folder: Path
    io: dict[str, Tensor]


@pytest.fixture(scope="session")
def golden_sets(tmp_path_factory) -> list[GoldenSet]:
    """The recorded cases of LivePortrait: this clone's, and those of a fuller set elsewhere."""
    found = []
    for source in [f for root in golden_folders() for f in sorted(root.glob("liveportrait*"))]:
        folder = tmp_path_factory.mktemp(source.name)
        for packed in source.glob("*.pth.xz"):
            (folder / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
        found.append(GoldenSet(folder, load_file(source / "io.safetensors")))
    return found


@dataclass(frozen=True)
class Layout:
    """A published checkpoint without its weights."""

    name: str
    family: str
    parameters: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]

    def tensors(self) -> dict[str, Tensor]:
        """Tensors of those shapes and no storage, by flattened name."""
        return {name: torch.empty(shape, device="meta") for name, shape in self.shapes.items()}


def read_layout(path: Path) -> Layout:
    content = json.loads(path.read_text())
    # of a checkpoint that is several files, in place of one's networks
    several = content.get("files")
    networks = {
        key: value
        for key, value in (several or content["tensors"]).items()
        if not key.startswith(("optimizer", "discriminator", "epoch"))
    }
    shapes = {
        f"{network}.{name}": tuple(shape)
        for network, tensors in networks.items()
        for name, shape in tensors.items()
    }
    return Layout(path.stem, content["family"], content["parameters"], shapes)


@pytest.fixture(scope="session")
def layouts() -> list[Layout]:
    """The tensor tables of published checkpoints that this clone holds, or the fuller set's."""
    found = {
        path.stem: read_layout(path)
        for folder in golden_folders()
        for path in sorted((folder / "layouts").glob("*.json"))
    }
    if not found:
        pytest.skip("no layouts in tests/golden")
    return list(found.values())
