"""What a GPU paints is what the processor paints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import comfyui_motion as motion
from comfyui_motion.bench.stand_in import DEVICE, OnDevice, StandIn
from comfyui_motion.media.picture import read_picture
from comfyui_motion.media.video import read_video
from comfyui_motion.networks.face import on_device, paint

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="module")
def acted():
    """A model, a portrait, and the field of some frames."""
    model = motion.load("face", device="cpu")
    picture, frames = (
        F.interpolate(pictures[:, :3], size=(224, 200), mode="bilinear", antialias=True)
        for pictures in (
            read_picture(SAMPLES / "source.png"),
            read_video(SAMPLES / "driving.mp4", stop=60).frames()[[0, 20, 45]],
        )
    )
    portrait = model.encode(picture)
    points = model.detect(frames)
    pose = motion.retarget(points, points[:1], portrait.keypoints)
    return model, portrait, pose


@pytest.mark.parametrize("part", ["all", "shut", "open", "no layers"])
def test_every_part_of_a_frame_is_the_processors(acted, part):
    model, portrait, pose = acted
    field, faces = model.motion(portrait, pose), portrait.faces
    if part == "shut":
        field = replace(field, shut=torch.ones_like(field.shut))
    elif part == "open":
        field = replace(field, shown=torch.ones_like(field.shown))
    elif part == "no layers":
        faces = (replace(faces[0], layers=None),)
    expected = paint.frames(faces, field)
    made = on_device.frames(faces, field, torch.device("cpu"))
    off = (made - expected).abs()
    assert off.mean() < 2e-4 and off.quantile(0.999) < 4e-3 and off.max() < 0.05
    assert (expected - faces_at_rest(faces)).abs().max() > 0.2  # there is something to see


def faces_at_rest(faces) -> torch.Tensor:
    return torch.from_numpy(faces[0].colours).permute(2, 0, 1)


def test_nothing_is_waited_for_between_poses_and_pictures(acted):
    model, portrait, pose = acted
    field = model.motion(portrait, pose)
    expected = model.generate(portrait, field)
    with StandIn() as device:
        made = on_device.frames(portrait.faces, field.to(DEVICE), DEVICE)
        assert isinstance(made, OnDevice) and device.waited == 0
        assert (made.cpu() - expected).abs().mean() < 2e-4


def test_what_a_gpu_holds_of_a_face_goes_with_it(acted):
    model, portrait, pose = acted
    face = replace(portrait.faces[0])
    on_device.frames((face,), model.motion(portrait, pose[:1]), torch.device("cpu"))
    assert face in on_device.KEPT
    held = len(on_device.KEPT)
    del face
    assert len(on_device.KEPT) == held - 1
