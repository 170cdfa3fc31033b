"""A faster model gives the same pictures: each lever alone, then every family whole."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import registry
from comfyui_motion.bench.lively import clip, lively, pictures
from comfyui_motion.field import sample
from comfyui_motion.networks.layers import blocks
from comfyui_motion.networks.layers.resnet import Basic
from comfyui_motion.speed import fast
from comfyui_motion.speed.optimise import MODES, optimise
from comfyui_motion.speed.optimise import replace as replace_blocks
from comfyui_motion.speed.winograd import WinogradConv

SMALL = blocks.HourglassShape(8, 32, 2)
SIZES = {  # small enough for a test, with every kind of layer
    "fomm": {"detector": SMALL, "dense": SMALL, "body": blocks.BodyShape(16, 32, 2, 2)},
    "mraa": {
        "detector": SMALL,
        "flow": SMALL,
        "background_encoder": SMALL,
        "body": blocks.BodyShape(16, 32, 2, 2),
    },
    "tpsmm": {"dense": SMALL, "inpainting": blocks.HourglassShape(16, 32, 3)},
    "copart": {"segmentation": SMALL, "body": blocks.BodyShape(16, 32, 2, 2)},
    "monkeynet": {"detector": SMALL, "dense": SMALL, "generator": SMALL, "refinement": 1},
    "x2face": {},
}
FAMILIES = [name for name in registry.FAMILIES if name in SIZES]


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def alive(module: nn.Module) -> nn.Module:
    """Weights and running statistics that a mistake would show in."""
    torch.manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d | nn.InstanceNorm2d):
            nn.init.normal_(norm.weight, 1, 0.3)
            nn.init.normal_(norm.bias, 0, 0.3)
        if (
            isinstance(norm, nn.BatchNorm2d)
            and norm.running_mean is not None
            and norm.running_var is not None
        ):
            nn.init.normal_(norm.running_mean, 0, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    return module.eval()


def faster(module: nn.Module) -> nn.Module:
    holder = nn.ModuleList([module])
    replace_blocks(holder)
    return holder[0]


LEVERS = {
    "same": lambda norm: blocks.Same(6, 10, 7, norm),
    "down": lambda norm: blocks.Down(6, 10, norm),
    "up": lambda norm: blocks.Up(6, 10, norm),
    "residual": lambda norm: blocks.Res(6, norm),
}


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("lever", LEVERS)
def test_a_block_and_its_fast_form_agree(lever, norm):
    block = alive(LEVERS[lever](norm))
    x = torch.randn(2, 6, 12, 20)
    expected = block(x)
    quick = faster(block)
    assert type(quick) is not type(block)
    assert_close(quick(x), expected, atol=1e-5, rtol=1e-5)
    assert_close(
        quick(x.contiguous(memory_format=torch.channels_last)), expected, atol=1e-5, rtol=1e-5
    )


def test_phases_are_the_upsampled_convolution_in_16_multiplications_where_36_were():
    conv = nn.Conv2d(5, 7, 3, padding=1)
    phases = fast.PhaseConv(fast.Conv.of(conv))
    x = torch.randn(2, 5, 9, 6)
    assert_close(
        phases(x), conv(F.interpolate(x, scale_factor=2, mode="nearest")), atol=1e-5, rtol=1e-5
    )
    assert phases.conv.weight.numel() * 9 == 4 * 4 * conv.weight.numel()


@pytest.mark.parametrize("out", [1, 3])
@pytest.mark.parametrize("size", [(16, 24), (15, 18)])
def test_a_narrow_convolution_made_in_squares_agrees(out, size):
    conv = nn.Conv2d(8, out, 7, padding=3)
    x = torch.randn(2, 8, *size)
    assert_close(fast.WideConv(conv)(x), conv(x), atol=1e-5, rtol=1e-5)


def test_resnet_norms_fold():
    block = alive(Basic(6, 10, 2))
    x = torch.randn(2, 6, 12, 12)
    expected = block(x)
    quick = faster(block)
    assert not [m for m in quick.modules() if isinstance(m, nn.BatchNorm2d)]
    assert_close(quick(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(32, 36), (40, 64), (30, 32)])
def test_winograd_agrees_with_the_plain_convolution(height, width):
    conv = nn.Conv2d(128, 132, 3, padding=1)
    quick = WinogradConv.of(fast.Conv.of(conv))
    x = torch.randn(2, 128, height, width)
    assert_close(quick(x), conv(x), atol=1e-4, rtol=0)
    assert not torch.equal(quick(x), conv(x)) or height % 4, "it went the plain way"


def test_packed_weights_give_the_same_and_come_back():
    conv = nn.Conv2d(300, 256, 3, padding=1)
    quick = fast.Conv.of(conv)
    x = torch.randn(2, 300, 6, 6)
    assert quick.packed is None, "a model bound for another device is not packed for this one"
    assert_close(quick(x), conv(x), atol=1e-4, rtol=1e-4)
    assert quick.packed is not None or not fast.can_pack(torch.float32)
    quick.unpack()
    assert torch.equal(quick.weight, conv.weight)


def test_an_optimised_model_is_cast_and_moved_as_any_other():
    quick = optimise(small("fomm"), "float32")
    moved = optimise(small("fomm"), "float32").to("meta", torch.float64)
    assert {p.dtype for p in moved.parameters()} == {torch.float64}
    moved = optimise(small("fomm"), "float32").to(torch.float64).to(torch.float32)
    assert_close(run(moved)[1], run(quick)[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("sources", [1, 3])
def test_deep_pictures_are_sampled_as_shallow_ones(align_corners, sources):
    picture, grid = torch.randn(sources, 24, 7, 9), 1.5 * torch.randn(3, 5, 6, 2)
    expected = F.grid_sample(picture.expand(3, -1, -1, -1), grid, align_corners=align_corners)
    assert_close(sample(picture, grid, align_corners), expected, atol=1e-5, rtol=1e-5)
    grid[:] = 1e9
    assert not sample(picture, grid, align_corners).any()


def run(model: motion.MotionModel) -> tuple:
    size = model.size if model.family == "x2face" else 64
    source, driving = pictures(1, size, torch.Generator().manual_seed(3)), clip(2, size)
    portrait = model.encode(source)
    points = model.detect(driving)
    return points, model.generate(portrait, model.motion(portrait, points))


def small(name: str) -> motion.MotionModel:
    size = {} if name == "x2face" else {"size": 64}
    return lively(motion.build(name, **SIZES[name], **size))


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return -10 * torch.log10((a - b).square().mean()).item()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_optimised_agrees_with_itself(name):
    model = small(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    points, expected = run(model)
    assert expected.std() > 0.02
    for mode in MODES[:2]:
        quick_points, pictures = run(optimise(model, mode))
        assert pictures.dtype == torch.float32
        if mode == "float32":
            assert psnr(pictures, expected) > 60
            if (
                name != "x2face"
            ):  # its field has no smoothness to keep an error of 1e-6 from reaching another pixel
                assert_close(pictures, expected, atol=1e-3, rtol=0)
        else:
            assert psnr(pictures, expected) > 40
        if isinstance(points, motion.Keypoints):
            assert quick_points.position.dtype == torch.float32
            assert_close(quick_points.position, points.position, atol=1e-4, rtol=0)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items()), (
        "the model itself is left as it is"
    )
    assert torch.equal(run(model)[1], expected)


@pytest.mark.parametrize("case", ["fomm", "mraa", "tpsmm", "copart", "monkeynet"])
def test_a_recorded_case_optimised_gives_the_recorded_picture(golden, case, tmp_path):
    recorded = golden(case)
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(recorded.file)
    exact, quick = motion.load(path, device="cpu"), motion.load(path, device="cpu", speed="float32")
    source, driving = recorded.io["source"], recorded.io["driving"]
    pictures = []
    for model in (exact, quick):
        portrait = model.encode(source)
        pictures.append(model.generate(portrait, model.motion(portrait, model.detect(driving))))
    assert_close(pictures[1], pictures[0], atol=1e-3, rtol=0)


def test_float16_keeps_keypoints_and_runs_on_a_cpu_too():
    model = small("fomm")
    quick = optimise(model, "float16")
    dtypes = {
        name.partition(".")[0]: parameter.dtype for name, parameter in quick.named_parameters()
    }
    assert dtypes == {"kp_detector": torch.float32, "generator": torch.float16}


def test_modes_are_named_in_the_error():
    with pytest.raises(motion.InputError, match="float32, bfloat16, float16"):
        optimise(small("fomm"), "int4")
    with pytest.raises(motion.InputError, match="speed"):
        motion.load(speed="float32", dtype=torch.float16)


def test_importing_the_package_loads_no_heavy_library():
    heavy = ("cv2", "av", "PIL", "kornia", "safetensors", "torchvision", "matplotlib")
    code = (
        "import sys, torch; before = set(sys.modules); import comfyui_motion; print([m for m in"
        f" {heavy} if m in set(sys.modules) - before])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
