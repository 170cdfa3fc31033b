"""A source framed once and used step by step: the same frames as the whole job, to the bit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import interpolate
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import InputError, MotionField, Options
from comfyui_motion.bench.lively import clip, lively, pictures
from comfyui_motion.driving import Batches
from comfyui_motion.framing.canvas import Fit
from comfyui_motion.framing.plan import Framing
from comfyui_motion.framing.portrait import FramedPortrait
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape
from comfyui_motion.preparing import frame_source, look_ahead

SMALL = HourglassShape(8, 32, 2)
AT_ONCE = 3
SAMPLES = Path(__file__).parents[2] / "samples"


def model_of(family: str):
    if family == "flow":
        return motion.build("flow", detail=96, lattice=24, size=128)
    if family == "x2face":
        return lively(motion.build("x2face", width=4, limit=8, levels=6, bottleneck=16, size=64))
    return lively(
        motion.build("fomm", detector=SMALL, dense=SMALL, body=BodyShape(8, 32, 2, 1), size=64)
    )


def step_by_step(model, source, driving, options: Options) -> torch.Tensor:
    """As the nodes do it, each over the whole clip before the next begins."""
    portrait = frame_source(model, source, options, Batches(driving, AT_ONCE))
    given = source if options.mode == "absolute" else None
    reference = portrait.reference_of(driving, given)
    script = look_ahead(portrait, Batches(driving, AT_ONCE))
    if script is None:
        shown = [portrait.driver(part) for part in driving.split(AT_ONCE)]
        parts = [portrait.detect(part, reference) for part in shown]
        points = parts[0].join(parts)
    else:
        points = script.keypoints
    own = portrait.portrait.keypoints
    at_rest = points[portrait.reference]
    pose = motion.retarget(points, at_rest, own, options.mode, options.adapt_scale)
    parts = [
        portrait.on_wire(model.motion(portrait.portrait, pose[i : i + AT_ONCE]))
        for i in range(0, len(driving), AT_ONCE)
    ]
    field = parts[0].join(parts)
    made = [
        portrait.render(portrait.from_wire(field[i : i + AT_ONCE]), options.size)[0]
        for i in range(0, len(driving), AT_ONCE)
    ]
    return torch.cat(made)


@pytest.mark.parametrize("family", ["fomm", "x2face", "flow"])
@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"size": "model"},
        {"subject": (10, 20, 60, 90), "driving_subject": (8, 0, 60, 56)},
        {"subject": (10, 20, 60, 90), "fit": "letterbox", "reference": 2},
        {"subject": (10, 20, 60, 90), "mode": "absolute"},
    ],
    ids=lambda chosen: "-".join(chosen) or "plain",
)
@torch.no_grad()
def test_steps_over_one_portrait_are_the_whole_job_to_the_bit(family, chosen):
    model = model_of(family)
    source = pictures(1, 96, torch.Generator().manual_seed(5))[..., :80]
    driving = clip(5, 64)
    options = Options(**{"size": "source", "batch_size": AT_ONCE, **chosen})
    wanted = torch.cat([step.frames for step in motion.perform(model, source, driving, options)])
    assert_close(step_by_step(model, source, driving, options), wanted, atol=0, rtol=0)
    assert (wanted - wanted[:1]).abs().max() > 0.01


@pytest.fixture(scope="module")
def talking() -> tuple[torch.Tensor, torch.Tensor]:
    """The pack's own picture and three frames of its clip, small."""
    small = {"size": (192, 192), "mode": "bilinear", "antialias": True}
    source = motion.read_picture(SAMPLES / "source.png")[:, :3]
    clip = motion.read_video(SAMPLES / "driving.mp4", start=12, stop=15).frames()
    return interpolate(source, **small), interpolate(clip, **small)


@pytest.mark.parametrize("family", ["face", "fomm"])
@torch.no_grad()
def test_of_a_face_that_is_found_too_steps_are_the_whole_job_to_the_bit(family, talking):
    """The default looks ahead at the whole clip; another model has a finder frame it."""
    source, driving = talking
    model = motion.load("face") if family == "face" else model_of(family)
    finder = None if family == "face" else motion.load("face")
    options = Options(size="source", batch_size=AT_ONCE, reference=-1, finder=finder)
    wanted = torch.cat([step.frames for step in motion.perform(model, source, driving, options)])
    assert torch.equal(step_by_step(model, source, driving, options), wanted)
    assert (wanted - wanted[:1]).abs().max() > 0.05


@pytest.mark.parametrize("reference", [-1, 3])
@torch.no_grad()
def test_after_a_cut_steps_measure_motion_from_the_new_shot_as_the_whole_job_does(
    talking, reference
):
    """Reference 3 lies in the second shot; the other shot is measured from its own rest."""
    source, driving = talking
    closer = interpolate(driving.flip(-1)[..., 30:162, 40:172], size=(192, 192), mode="bilinear")
    shots = torch.cat([driving, closer * torch.tensor([0.5, 0.7, 0.4])[:, None, None]])
    model = motion.load("face")
    options = Options(size="source", batch_size=AT_ONCE, reference=reference)
    portrait = frame_source(model, source, options, Batches(shots, AT_ONCE))
    found = look_ahead(portrait, Batches(shots, AT_ONCE))
    assert len(found.rest.unique()) == 2
    wanted = torch.cat([step.frames for step in motion.perform(model, source, shots, options)])
    assert torch.equal(step_by_step(model, source, shots, options), wanted)


@torch.no_grad()
def test_the_best_reference_is_found_once_and_told():
    model, source = model_of("fomm"), pictures(1, 64, torch.Generator().manual_seed(5))
    driving = torch.cat([clip(4, 64), source, clip(2, 64, seed=3)])
    portrait = frame_source(model, source, Options(reference=-1), Batches(driving, AT_ONCE))
    assert portrait.reference == 4


@torch.no_grad()
def test_a_field_on_a_canvas_moves_the_whole_picture_once_it_is_asked_for():
    model = model_of("fomm")
    source = pictures(1, 96, torch.Generator().manual_seed(5))
    portrait = FramedPortrait.of(model, source, Options(subject=(10, 20, 60, 90)).framing)
    pose = model.detect(clip(2, 64)[1:])
    field = portrait.on_wire(model.motion(portrait.portrait, pose))
    over, whole = field.of_source(), portrait.over_picture(model.motion(portrait.portrait, pose))
    assert over.covers is None and field.covers is not None
    assert_close(over.grid, whole.grid, atol=0, rtol=0)
    moved = (over.warp(source) - source).abs().amax((0, 1))
    assert moved[30:80, 20:50].max() > 0.05 and moved[:5].max() < 1e-5


def test_motion_over_the_picture_comes_to_the_canvas_and_back():
    fit = Fit.plan(120, 90, 64, "stretch", (20, 30, 70, 110))
    still = fit.canvas_field(MotionField.identity(2, 120, 90))
    assert_close(still.grid, MotionField.identity(2, 64, 64).grid, atol=1e-6, rtol=0)
    torch.manual_seed(0)
    bumps = torch.nn.functional.interpolate(
        0.1 * torch.randn(1, 2, 5, 5), size=(64, 64), mode="bicubic", align_corners=True
    )
    field = MotionField(MotionField.identity(1, 64, 64).grid + bumps.permute(0, 2, 3, 1))
    again = fit.canvas_field(fit.field(field))
    assert_close(again.grid[:, 2:-2, 2:-2], field.grid[:, 2:-2, 2:-2], atol=5e-3, rtol=0)


@torch.no_grad()
def test_a_portrait_goes_to_another_device_whole():
    for family in ("fomm", "x2face", "flow"):
        portrait = FramedPortrait.of(model_of(family), torch.rand(1, 3, 64, 64)).to("meta")
        held = [value for value in vars(portrait.portrait).values() if value is not None]
        flat = [
            each for value in held for each in (value if isinstance(value, tuple) else (value,))
        ]
        points = [
            v for each in flat if not isinstance(each, torch.Tensor) for v in vars(each).values()
        ]
        tensors = [each for each in (*flat, *points) if isinstance(each, torch.Tensor)]
        assert tensors and all(tensor.device.type == "meta" for tensor in tensors)


def test_a_reference_frame_beyond_the_clip_is_refused():
    portrait = FramedPortrait.of(motion.load("flow"), torch.rand(1, 3, 40, 40))
    with pytest.raises(InputError, match="7 lies beyond the end"):
        replace(portrait, reference=7).reference_of(torch.rand(3, 3, 40, 40))


def test_a_picture_no_larger_has_the_same_subject():
    model, source = model_of("fomm"), torch.rand(1, 3, 96, 128)
    portrait = FramedPortrait.of(model, source, Framing(subject=(32, 16, 96, 80)))
    small = portrait.no_larger(64)
    assert small.picture.shape == (1, 3, 48, 64)
    assert small.framing.subject == (16, 8, 48, 40)
    assert portrait.no_larger(128) is portrait
