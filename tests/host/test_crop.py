"""A subject found by a finder's keypoints, in a real ComfyUI: cut out, put back, animated where it
is.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import pytest
import torch
from torch.testing import assert_close

pytestmark = pytest.mark.host


@pytest.fixture
def given(host, face, monkeypatch) -> dict[str, Any]:
    """A prompt with a node that gives a finder, a picture with a small face aside, a clip of a
    large face that nods, and plain noise.
    """
    animate = sys.modules[host.nodes.NODE_CLASS_MAPPINGS["CM_Animate"].__module__]
    library = import_module(animate.__name__.rpartition(".nodes.")[0] + ".comfyui_motion")
    finder = face.finder()

    class Dots(library.MotionModel):
        """The tests' finder, as a model of the pack's own library, which is another
        import of it.
        """

        family = "dots"

        def __init__(self) -> None:
            super().__init__(finder.spec)
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def detect(self, frames, reference=None):
            return library.Keypoints(finder.detect(frames).position)

    torch.manual_seed(0)
    picture = face.draw(221, 301, face.points(215, 90, 17), 0.1 * torch.rand(1, 3, 221, 301))
    clip = torch.cat(
        [
            face.draw(160, 160, face.points(80, 84 + 3 * i, 26), torch.full((1, 3, 160, 160), 0.1))
            for i in range(3)
        ]
    )

    class Given:
        RETURN_TYPES, FUNCTION, CATEGORY = ("CM_MODEL", "IMAGE", "IMAGE", "IMAGE"), "give", "test"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {}}

        def give(self) -> tuple[Any, ...]:
            images = [
                pictures.movedim(1, -1) for pictures in (picture, clip, torch.rand(1, 3, 64, 64))
            ]
            return animate.host.HostedModel.of(Dots().eval()), *images

    monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, "Given", Given)
    return {"given": {"class_type": "Given", "inputs": {}}}


FINDER, PICTURE, CLIP, NOISE = (["given", i] for i in range(4))


def with_shown(prompt: dict[str, Any], *names: str) -> dict[str, Any]:
    """The prompt, with something at its end that runs."""
    return prompt | {
        f"{name} shown": {"class_type": "PreviewImage", "inputs": {"images": [name, 0]}}
        for name in names
    }


def test_a_subject_is_cut_out_and_put_back_where_it_was(host, given, face):
    given["cut"] = {
        "class_type": "CM_CropSubject",
        "inputs": {"images": PICTURE, "finder": FINDER, "margin": 0.2, "size": 0},
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
    points = face.points(215, 90, 17)[:17]
    left, top, right, bottom = place.box
    assert crops.shape == (1, bottom - top, right - left, 3) and right - left == bottom - top
    assert (
        left < points[:, 0].min()
        and right > points[:, 0].max()
        and top < points[:, 1].min()
        and bottom > points[:, 1].max()
    )
    assert mask.shape == (1, 221, 301) and mask.sum() == (min(bottom, 221) - max(top, 0)) * (
        min(right, 301) - max(left, 0)
    )
    assert_close(done.values["paste"][0], done.values["given"][1])


def test_a_crop_is_animated_and_put_back_into_the_still_picture(host, given):
    given["cut"] = {
        "class_type": "CM_CropSubject",
        "inputs": {"images": PICTURE, "finder": FINDER, "margin": 0.2, "size": 96},
    }
    given["cut clip"] = {
        "class_type": "CM_CropSubject",
        "inputs": {"images": CLIP, "finder": FINDER, "margin": 0.2, "size": 96},
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
        done.values["given"][1][:, :220, :300][:, mask[0] == 0].expand(3, -1, -1),
    )
    assert (images[2] - images[0]).abs().max() > 0.1


def test_a_finder_moves_a_small_face_aside_and_leaves_the_rest(host, given):
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
        "inputs": moved | {"reference_frame": -1, "size": "source", "finder": FINDER},
    }
    done = host.run(with_shown(given, "animate"))
    assert done.success, done.error
    images = done.values["animate"][0]
    changed = (images - done.values["given"][1][:, :220, :300]).abs().amax((0, 3))
    assert changed[60:130, 190:240].max() > 0.1
    assert changed[:, :110].max() < 1e-3 and changed[180:].max() < 1e-3


def test_where_the_finder_sees_nothing_the_node_says_so_and_all_is_moved(host, given):
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
        "inputs": moved | {"reference_frame": 0, "size": "source", "finder": FINDER},
    }
    done = host.run(with_shown(given, "animate"))
    assert done.success, done.error
    told = [
        data["text"]
        for event, data in done.sent
        if event == "progress_text" and data["node"] == "animate"
    ]
    assert any("The picture does not show a subject" in text for text in told)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"images": NOISE, "finder": FINDER}, "The finder sees no subject"),
        ({"images": NOISE}, "a finder or a mask must tell"),
    ],
    ids=["no subject", "no finder"],
)
def test_what_cannot_be_cut_out_is_one_sentence(host, given, inputs, says):
    given["cut"] = {"class_type": "CM_CropSubject", "inputs": {"margin": 0.2, "size": 64, **inputs}}
    done = host.run(with_shown(given, "cut"))
    assert not done.success and says in done.error and "\n" not in done.error
