"""The bundled networks and the picture that comes with the pack."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

import comfyui_motion as motion
from comfyui_motion import read_picture
from comfyui_motion.catalogue import DATA
from comfyui_motion.networks.face.networks import FaceNetworks

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def networks():
    """As they come, in float32."""
    made = FaceNetworks()
    tensors = load_file(DATA / "face.safetensors")
    made.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def model():
    """The default, as it is loaded."""
    return motion.load("face", device="cpu")


@pytest.fixture(scope="session")
def portrait():
    """The drawn face in samples/. 1 3 960 960"""
    return read_picture(ROOT / "samples" / "source.png")[:, :3]
