"""Devices: what is asked for is what is used, and what is not there is said with what is."""

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion import InputError
from comfyui_motion.cli import main
from comfyui_motion.devices import available, device_of
from comfyui_motion.framing.portrait import FramedPortrait
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

SMALL, BODY = HourglassShape(8, 32, 2), BodyShape(8, 32, 2, 1)
NETWORKS = {
    "fomm": {"detector": SMALL, "dense": SMALL, "body": BODY},
    "mraa": {"detector": SMALL, "flow": SMALL, "body": BODY},
    "copart": {"segmentation": SMALL, "body": BODY},
    "monkeynet": {"detector": SMALL, "dense": SMALL, "generator": SMALL},
    "x2face": {"width": 4, "limit": 8, "levels": 6, "bottleneck": 16},
    "tpsmm": {"dense": SMALL, "inpainting": HourglassShape(8, 16, 2)},
}


def test_a_device_that_is_not_there_is_an_error_that_names_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert available()[:3] == ["cpu", "cuda:0", "cuda:1"]
    assert device_of("cuda") == torch.device("cuda") and device_of("cuda:1").index == 1
    for name in ("cuda:2", "toaster", "xpu:7"):
        with pytest.raises(InputError, match=f"no device '{name}'.* cpu, cuda:0, cuda:1"):
            device_of(name)


@pytest.mark.parametrize("path", [None, "flow"])
def test_the_default_goes_where_it_is_asked_to(path):
    assert motion.load(path, device="meta").device.type == "meta"
    assert motion.load(path, speed="bfloat16", device="cpu").device.type == "cpu"
    with pytest.raises(InputError, match="no device 'cuda:99'"):
        motion.load(path, device="cuda:99")
    with pytest.raises(InputError, match="speed is one of"):
        motion.load(path, speed="ludicrous")


def test_the_command_line_says_so_too(tmp_path, capsys):
    evaluate = ["evaluate", "flow", "--data", "puppets", "-o", str(tmp_path / "out")]
    for command in (evaluate, ["bench"], ["train", "shapes-fomm", "--data", "puppets"]):
        assert main([*command, "--device", "toaster"]) == 2
        assert "There is no device 'toaster' here; there are cpu" in capsys.readouterr().err


@pytest.mark.parametrize("family", NETWORKS)
def test_every_value_of_a_network_is_on_its_device(family):
    """On the device without storage, one tensor made elsewhere would be refused."""
    model = motion.build(family, **NETWORKS[family], size=64).to("meta")
    portrait = FramedPortrait.of(model, torch.rand(1, 3, 80, 70))
    driving = portrait.driver(torch.rand(2, 3, 50, 60))
    points = model.detect(driving, reference=driving[:1])
    field = model.motion(portrait.portrait, points)
    frames = model.generate(portrait.portrait, field)
    assert {value.device.type for value in (frames, field.grid, *field.occlusion)} == {"meta"}
    assert frames.shape == (2, 3, 64, 64)
