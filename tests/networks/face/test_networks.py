"""The networks against what the published graphs gave, run operation by operation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.testing import assert_close

from comfyui_motion.catalogue import DATA
from comfyui_motion.networks.face.detector import anchors

GOLDEN = Path(__file__).parents[2] / "golden" / "face" / "io.safetensors"


@pytest.fixture(scope="module")
def recorded():
    tensors = load_file(GOLDEN)
    return {
        name: tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()
        for name, tensor in tensors.items()
    }


def test_the_detector_is_the_published_one(networks, recorded):
    places, scores = networks.detector.raw(recorded["detector.input"] * 2 - 1)
    assert_close(places, recorded["detector.places"], atol=1e-3, rtol=0)
    assert_close(scores, recorded["detector.scores"], atol=1e-3, rtol=0)


def test_the_mesh_is_the_published_one(networks, recorded):
    points, flag = networks.mesh(recorded["mesh.input"])
    assert_close(points, recorded["mesh.points"], atol=0.02, rtol=0)
    assert_close(flag, recorded["mesh.flag"], atol=1e-4, rtol=0)


def test_the_person_mask_is_the_published_one(networks, recorded):
    mask = networks.person(recorded["person.input"])
    assert_close(mask, recorded["person.mask"], atol=1e-3, rtol=0)


def test_a_batch_gives_what_one_picture_gives(networks, recorded):
    crops = torch.cat([recorded["mesh.input"], recorded["mesh.input"].flip(-1)]).repeat(4, 1, 1, 1)
    together, _ = networks.mesh(crops)
    for i in (0, 1):
        assert_close(together[i : i + 1], networks.mesh(crops[i : i + 1])[0], atol=1e-3, rtol=0)


def test_each_cell_guesses_round_its_middle():
    places = anchors()
    assert places.shape == (896, 2)
    assert_close(places[2], torch.tensor([1.5 / 16, 0.5 / 16]))
    assert_close(places[-1], torch.tensor([7.5 / 8, 7.5 / 8]))


def test_the_file_says_where_its_weights_came_from():
    with safe_open(DATA / "face.safetensors", framework="pt") as file:
        about = file.metadata()
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert "mediapipe 0.10.21" in about["sources"] and about["licence"] == "Apache-2.0"
    assert kinds == {torch.float16}
