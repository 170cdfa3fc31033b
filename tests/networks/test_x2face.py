"""X2Face computes what the published network computes."""

import os
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.networks.x2face import DrivingGrids
from comfyui_motion.registry import FAMILIES, family

SMALL = {"width": 4, "limit": 16, "levels": 5, "bottleneck": 6, "size": 32}


def close(found, recorded, tolerance):
    assert found.shape == recorded.shape
    assert_close(found, recorded, atol=tolerance, rtol=0)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return motion.build("x2face", **SMALL).requires_grad_(False)


@pytest.fixture
def frames():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


# the full case is too large for a clone: it is met where COMFYUI_MOTION_GOLDENS has it
CASES = ["x2face-small", *(["x2face"] if os.environ.get("COMFYUI_MOTION_GOLDENS") else [])]


@pytest.fixture(scope="module", params=CASES)
def recorded(golden, tmp_path_factory, request):
    case = golden(request.param)
    path = tmp_path_factory.mktemp("x2face") / "checkpoint.pth.tar"
    path.write_bytes(case.file)
    return path, case.io


def test_every_recorded_tensor_is_met(recorded):
    path, io = recorded
    model = motion.load(path, device="cpu", size=io["driving"].shape[-1])
    assert model.family == "x2face"
    points = model.detect(io["driving"])
    for name, sources in (("one", io["sources"][:1]), ("all", io["sources"])):
        portrait = model.encode(sources)
        field = model.motion(portrait, points)
        close(field.grid[:1], io["sampler"], 1e-4)
        close(model.generate(portrait, field), io[f"{name}.prediction"], 1e-3)
    grid, confidence = model.unwrap(io["sources"])
    close(model.embed(io["sources"], grid, confidence, floor=0), io["embedded"], 1e-3)


@pytest.mark.parametrize("recorded", CASES[1:], indirect=True)  # small ones round as they are wild
def test_half_precision_stays_close(recorded):
    path, io = recorded
    pictures = []
    for dtype in (torch.float32, torch.bfloat16):
        model = motion.load(path, device="cpu", dtype=dtype, size=io["driving"].shape[-1])
        assert model.dtype == dtype
        portrait, points = model.encode(io["sources"][:1]), model.detect(io["driving"][:1])
        assert points.grid.dtype == portrait.embedded.dtype == torch.float32
        pictures.append(model.generate(portrait, model.motion(portrait, points)))
    assert -10 * torch.log10((pictures[0] - pictures[1]).square().mean()) > 40


def test_a_batch_gives_what_single_frames_give(model, frames):
    portrait = model.encode(frames[:2])
    together = model.generate(portrait, model.motion(portrait, model.detect(frames)))
    singly = [
        model.generate(portrait, model.motion(portrait, model.detect(frame)))
        for frame in frames.split(1)
    ]
    assert together.shape == frames.shape
    assert_close(together, torch.cat(singly), atol=1e-5, rtol=0)


def test_the_embedded_face_is_a_picture_to_paint_on(model, frames):
    portrait = model.encode(frames[:1])
    assert portrait.embedded.shape == (1, 3, 32, 32)
    field = model.motion(portrait, model.detect(frames))
    assert_close(field.warp(portrait.embedded), model.generate(portrait, field))
    painted = portrait.embedded.clone()
    painted[:, 0, 8:24, 8:24] = 1.0
    drawn = model.generate(replace(portrait, embedded=painted), field)
    plain = model.generate(portrait, field)
    assert (drawn[:, 0] > plain[:, 0] + 0.1).any() and torch.equal(drawn[:, 1:], plain[:, 1:])


def test_several_sources_that_are_one_give_what_it_gives(model, frames):
    once, twice = model.encode(frames[:1]), model.encode(frames[:1].expand(3, -1, -1, -1))
    assert_close(once.embedded, twice.embedded, atol=1e-5, rtol=0)


def test_the_field_of_the_source_is_both_readings_in_one(model):
    x, y = torch.meshgrid(*(torch.linspace(0, 1, 32),) * 2, indexing="xy")
    ramp = torch.stack([x, y, (x + y) / 2])[None]
    portrait = model.encode(ramp)
    field = model.motion(portrait, DrivingGrids(motion.MotionField.identity(1, 32, 32).grid * 0.8))
    composed = field.of_source()
    assert type(composed) is motion.MotionField and composed.size == (32, 32)
    inside = (portrait.unwrapping.abs() < 1).all()
    assert_close(
        composed.warp(ramp, padding="border"),
        model.generate(portrait, field),
        atol=0.02 if inside else 0.2,
        rtol=0,
    )


def test_driving_grids_slice_and_join_as_keypoints_do(model, frames):
    points = model.detect(frames)
    assert len(points) == 3 and len(points[-1]) == 1
    assert torch.equal(DrivingGrids.join([points[:1], points[1:]]).grid, points.grid)
    assert torch.equal(points.to("cpu").grid, points.grid)
    assert motion.retarget(points, points[:1], None, "absolute") is points


def test_it_takes_one_size_and_says_so(model):
    with pytest.raises(
        motion.InputError, match="pictures of 32x32 and no other, and frames is 64x32"
    ):
        model.detect(torch.rand(1, 3, 32, 64))


@pytest.mark.parametrize(
    "variant",
    [{}, {"bottleneck": 20}, {"width": 5, "limit": 10}, {"levels": 3, "size": 8}],
    ids=lambda v: ",".join(v) or "plain",
)
def test_an_untrained_model_is_recognised_and_configured_from_its_own_tensors(variant):
    kind = family("x2face")
    model = motion.build("x2face", **{**SMALL, **variant})
    saved = {f"state_dict.{name}": tensor for name, tensor in model.state_dict().items()}
    assert next(name for name in FAMILIES if family(name).recognise(saved)) == "x2face"
    again = motion.build("x2face", **kind.configure(saved), size=model.size)
    assert again.spec == model.spec
    again.load_state_dict(kind.rename(saved), strict=True)
    frames = torch.rand(2, 3, model.size, model.size)
    with torch.no_grad():
        ours, theirs = (
            m.generate(p := m.encode(frames), m.motion(p, m.detect(frames))) for m in (model, again)
        )
    assert (
        ours.shape == frames.shape
        and torch.equal(ours, theirs)
        and ours.min() >= 0
        and ours.max() <= 1
    )


def test_the_published_network_has_eight_levels_and_no_biases():
    with torch.device("meta"):
        tensors = family("x2face").model(family("x2face").published).state_dict()
    deepest = "submodule." * 7
    assert tensors[f"pix2pixSampler.netG.model.{deepest}down.1.weight"].shape == (128, 512, 4, 4)
    assert tensors[f"pix2pixUnwrapped.netG.model.{deepest}down.1.weight"].shape == (512, 512, 4, 4)
    assert not [
        name for name in tensors if name.endswith(("down.0.bias", "down.1.bias", "up.2.bias"))
    ]


def test_at_the_source_s_size_its_own_pixels_move(model):
    """What the network draws small, the source shows large: the same picture, through the field of
    the source.
    """
    x, y = torch.meshgrid(*(torch.linspace(0, 1, 96),) * 2, indexing="xy")
    ramp = torch.stack([x, y, (x + y) / 2])[None]
    driving = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    small, large = (
        torch.cat(list(motion.animate(model, ramp, driving, mode="absolute", size=size)))
        for size in ("model", "source")
    )
    assert large.shape == (2, 3, 96, 96)
    inside = slice(32, 64)
    shown = torch.nn.functional.interpolate(small, size=(96, 96), mode="bilinear")
    assert_close(large[..., inside, inside], shown[..., inside, inside], atol=0.03, rtol=0)


def test_any_other_field_reads_the_source(model, frames):
    """Such as one that came through Animate: it is composed already."""
    portrait = model.encode(frames[:1])
    still = motion.MotionField.identity(1, 32, 32)
    assert_close(model.generate(portrait, still), frames[:1], atol=1e-5, rtol=0)
