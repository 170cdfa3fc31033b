"""A face found, in a real ComfyUI: cut out, put back, animated where it
is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from comfyui_motion import read_picture

pytestmark = pytest.mark.host


ROOT = Path(__file__).parents[2]
OLD = "puppets (learned, comes with the pack)"  # as earlier versions listed it


@pytest.fixture
def given(host, monkeypatch) -> dict[str, Any]:
    """A prompt with a node that gives a picture with a small face aside, a clip of a large face
    that nods, and plain noise.
    """
    head = read_picture(ROOT / "samples" / "source.png")[:, :3, 100:740, 160:800]

    def placed(height: int, width: int, left: int, top: int, side: int) -> torch.Tensor:
        ground = torch.full((1, 3, height, width), 0.35)
        small = F.interpolate(head, size=side, mode="area")
        ground[..., top : top + side, left : left + side] = small
        return ground

    picture = placed(221, 301, 170, 45, 90)
    clip = torch.cat([placed(160, 160, 15, 6 + 3 * i, 130) for i in range(3)])

    class Given:
        RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE", "IMAGE", "IMAGE"), "give", "test"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {}}

        def give(self) -> tuple[Any, ...]:
            torch.manual_seed(0)
            noise = torch.rand(1, 3, 64, 64)
            return tuple(pictures.movedim(1, -1) for pictures in (picture, clip, noise))

    monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, "Given", Given)
    return {"given": {"class_type": "Given", "inputs": {}}}


PICTURE, CLIP, NOISE = (["given", i] for i in range(3))


def with_shown(prompt: dict[str, Any], *names: str) -> dict[str, Any]:
    """The prompt, with something at its end that runs."""
    return prompt | {
        f"{name} shown": {"class_type": "PreviewImage", "inputs": {"images": [name, 0]}}
        for name in names
    }


def test_a_face_is_cut_out_and_put_back_where_it_was(host, given):
    given["cut"] = {
        "class_type": "CM_CropSubject",
        "inputs": {"images": PICTURE, "margin": 0.2, "size": 0},
    }
    paste = {
        "images": PICTURE,
        "crops": ["cut", 0],
        "place": ["cut", 1],
        "feather": 8.0,
        "even_size": False,
    }
    given["paste"] = {"class_type": "CM_PasteBack", "inputs": paste}
    done = host.run(with_shown(given, "paste"))
    assert done.success, done.error
    crops, place, mask = done.values["cut"]
    left, top, right, bottom = place.box
    assert crops.shape == (1, bottom - top, right - left, 3) and right - left == bottom - top
    assert left < 185 and right > 245 and top < 60 and bottom > 130
    assert mask.shape == (1, 221, 301) and mask.sum() == (min(bottom, 221) - max(top, 0)) * (
        min(right, 301) - max(left, 0)
    )
    assert_close(done.values["paste"][0], done.values["given"][0])


def test_a_crop_is_animated_and_put_back_into_the_still_picture(host, given):
    given["cut"] = {
        "class_type": "CM_CropSubject",
        "inputs": {"images": PICTURE, "margin": 0.2, "size": 96},
    }
    given["cut clip"] = {
        "class_type": "CM_CropSubject",
        "inputs": {"images": CLIP, "margin": 0.2, "size": 96},
    }
    given["model"] = {
        "class_type": "CM_LoadModel",
        "inputs": {"model_name": "flow (needs no weights)"},
    }
    moved = {
        "model": ["model", 0],
        "source_image": ["cut", 0],
        "driving_images": ["cut clip", 0],
        "mode": "relative",
        "adapt_scale": True,
    }
    given["animate"] = {
        "class_type": "CM_Animate",
        "inputs": moved | {"reference_frame": 0, "size": "source"},
    }
    paste = {"images": PICTURE, "crops": ["animate", 0], "place": ["cut", 1], "feather": 8.0}
    given["paste"] = {"class_type": "CM_PasteBack", "inputs": paste}
    done = host.run(with_shown(given, "paste"))
    assert done.success, done.error
    images, mask = done.values["paste"]
    assert images.shape == (3, 220, 300, 3) and mask.shape == (1, 220, 300)
    assert torch.equal(
        images[:, mask[0] == 0],
        done.values["given"][0][:, :220, :300][:, mask[0] == 0].expand(3, -1, -1),
    )
    assert (images[2] - images[0]).abs().max() > 0.1


def test_a_small_face_aside_is_found_and_moved_and_the_rest_stays(host, given):
    given["model"] = {
        "class_type": "CM_LoadModel",
        "inputs": {"model_name": "flow (needs no weights)"},
    }
    moved = {
        "model": ["model", 0],
        "source_image": PICTURE,
        "driving_images": CLIP,
        "mode": "relative",
        "adapt_scale": True,
    }
    given["animate"] = {
        "class_type": "CM_Animate",
        "inputs": moved | {"reference_frame": -1, "size": "source", "find_face": "on"},
    }
    done = host.run(with_shown(given, "animate"))
    assert done.success, done.error
    images = done.values["animate"][0]
    changed = (images - done.values["given"][0][:, :220, :300]).abs().amax((0, 3))
    assert changed[45:135, 170:260].max() > 0.1
    assert changed[:, :110].max() < 1e-3 and changed[180:].max() < 1e-3


def test_where_there_is_no_face_the_node_says_so_and_all_is_moved(host, given):
    given["model"] = {
        "class_type": "CM_LoadModel",
        "inputs": {"model_name": "flow (needs no weights)"},
    }
    moved = {
        "model": ["model", 0],
        "source_image": NOISE,
        "driving_images": CLIP,
        "mode": "relative",
        "adapt_scale": True,
    }
    given["animate"] = {
        "class_type": "CM_Animate",
        "inputs": moved | {"reference_frame": 0, "size": "source", "find_face": "on"},
    }
    done = host.run(with_shown(given, "animate"))
    assert done.success, done.error
    told = [
        data["text"]
        for event, data in done.sent
        if event == "progress_text" and data["node"] == "animate"
    ]
    assert any("The picture does not show a face" in text for text in told)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"images": NOISE}, "There is no face in the pictures"),
        ({"images": PICTURE, "face": 2}, "one face, and face 2"),
    ],
    ids=["no face", "fewer faces"],
)
def test_what_cannot_be_cut_out_is_one_sentence(host, given, inputs, says):
    given["cut"] = {"class_type": "CM_CropSubject", "inputs": {"margin": 0.2, "size": 64, **inputs}}
    done = host.run(with_shown(given, "cut"))
    assert not done.success and says in done.error and "\n" not in done.error


def test_a_graph_with_the_finder_of_an_earlier_version_still_runs(host, given, caplog):
    given["finder"] = {"class_type": "CM_LoadModel", "inputs": {"model_name": OLD}}
    given["cut"] = {
        "class_type": "CM_CropSubject",
        "inputs": {"images": PICTURE, "finder": ["finder", 0], "margin": 0.2, "size": 64},
    }
    done = host.run(with_shown(given, "cut"))
    assert done.success, done.error
    assert "The model puppets is no more; face stands in for it." in caplog.text
