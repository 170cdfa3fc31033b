"""What a GPU would refuse, or be waited for, without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import comfyui_motion as motion
from comfyui_motion.animate import perform
from comfyui_motion.bench.parity import load_recorded, recorded_cases
from comfyui_motion.bench.stand_in import DEVICE, OnDevice, StandIn
from comfyui_motion.media.picture import read_picture
from comfyui_motion.media.video import read_video

ROOT = Path(__file__).parents[2]
GOLDENS = ROOT / "tests" / "golden"


def test_what_lies_on_two_devices_is_not_mixed():
    with StandIn():
        here, there = torch.ones(2), torch.ones(2, device=DEVICE)
        assert isinstance(there + 1, OnDevice) and (there + 1).tolist() == [2, 2]
        assert (there * torch.tensor(3.0)).tolist() == [3, 3]  # a single number may be
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


def test_every_wait_is_counted_with_what_waits():
    with StandIn() as device:
        there = torch.arange(3.0, device=DEVICE)
        moved = (there * 2).relu().sum()
        assert device.waited == 0
        float(moved)
        there[there > 1]
        there.cpu()
        there.new_tensor([1.0])
        there.to("cpu", non_blocking=True)
    assert sorted(what for what, _ in device.waits.elements()) == [
        "aten._local_scalar_dense",
        "mask",
        "to the CPU",
        "to the device",
    ]


@pytest.mark.parametrize("case", [folder.name for folder in recorded_cases(GOLDENS)])
def test_nothing_is_waited_for_inside_a_batch(case, tmp_path):
    with StandIn() as device:
        model, recorded = load_recorded(GOLDENS / case, tmp_path, DEVICE, torch.float32)
        source = recorded.get("source", recorded.get("sources"))[:1].to(DEVICE)
        driving = recorded["driving"].to(DEVICE)
        with torch.no_grad():
            portrait = model.encode(source)
            model.detect(driving)  # what is laid out once
            device.waits.clear()
            made = model.generate(portrait, model.motion(portrait, model.detect(driving)))
        assert isinstance(made, OnDevice)
        assert device.waits == {}


@pytest.mark.parametrize("name", ["face", "flow"])
def test_the_defaults_move_on_a_device_as_they_do_on_the_cpu(name):
    frames = read_video(ROOT / "samples" / "driving.mp4", stop=2).frames()
    side = {"face": 160, "flow": 64}[name]
    picture, frames = (
        F.interpolate(pictures[:, :3], size=(side, side), mode="bilinear", antialias=True)
        for pictures in (read_picture(ROOT / "samples" / "source.png"), frames)
    )
    small = motion.build("flow", detail=48, lattice=8)
    model = small if name == "flow" else motion.load(name, device="cpu")
    expected = torch.cat([step.frames for step in perform(model, picture, frames, size="source")])
    with StandIn():
        model.to(DEVICE)
        steps = list(perform(model, picture, frames, size="source"))
        made = torch.cat([step.frames for step in steps]).cpu()
    assert (made - expected).abs().max() < 2 / 255
