"""Monkey-Net computes what the published network computes, in both regimes of sampling."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.networks.layers.blocks import HourglassShape
from comfyui_motion.networks.monkeynet import Embedding, MonkeyNetField, widened
from comfyui_motion.registry import FAMILIES, family

RECORDED = {"norm": 10, "clip_variance": 0}
SHAPE = HourglassShape(4, 16, 2)
SMALL = {
    "keypoints": 3,
    "detector": SHAPE,
    "dense": SHAPE,
    "generator": HourglassShape(4, 16, 3),
    "group_blocks": 1,
    "refinement": 1,
}


def published(case, tmp_path, **options):
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(case.file)
    return motion.load(path, device="cpu", **{**RECORDED, **options})


def close(found, recorded, tolerance):
    assert found.shape == recorded.shape
    assert_close(found, recorded, atol=tolerance, rtol=0)


@pytest.fixture
def frames():
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def animated(model, frames):
    with torch.no_grad():
        portrait = model.encode(frames[:1])
        return model.generate(portrait, model.motion(portrait, model.detect(frames)))


@pytest.mark.parametrize("regime", [False, True])
def test_every_recorded_tensor_is_met(golden, tmp_path, regime):
    case = golden("monkeynet")
    model = published(case, tmp_path, align_corners=regime)
    recorded = {
        key.removeprefix(f"align_{str(regime).lower()}."): value for key, value in case.io.items()
    }
    portrait, points = model.encode(recorded["source"]), model.detect(recorded["driving"])
    for which, found in (("source", portrait.keypoints), ("driving", points)):
        close(found.position, recorded[f"kp_{which}.mean"], 1e-4)
        close(found.covariance, recorded[f"kp_{which}.var"], 1e-4)
    relative = motion.retarget(
        points, points[:1], portrait.keypoints, "relative", adapt_scale=False
    )
    close(relative.position, recorded["relative.kp.mean"], 1e-4)
    for mode, pose in (("absolute", points), ("relative", relative)):
        field = model.motion(portrait, pose)
        close(model.generate(portrait, field), recorded[f"{mode}.prediction"], 1e-3)
        if not regime:
            close(field.grid, recorded[f"{mode}.deformation"], 1e-4)
    if not regime:
        field = model.motion(portrait, points)
        close(field.warp(recorded["source"]), recorded["absolute.deformed"], 1e-3)


def test_a_batch_gives_what_single_frames_give(golden, tmp_path):
    case = golden("monkeynet")
    model, frames = published(case, tmp_path), case.io["driving"]
    portrait = model.encode(case.io["source"])
    together = model.generate(portrait, model.motion(portrait, model.detect(frames)))
    singly = [
        model.generate(portrait, model.motion(portrait, model.detect(frame)))
        for frame in frames.split(1)
    ]
    assert_close(together, torch.cat(singly), atol=1e-5, rtol=0)
    own = model.encode(frames)
    together = model.generate(own, model.motion(own, model.detect(frames.flip(0))))
    first = model.encode(frames[:1])
    assert_close(
        together[:1],
        model.generate(first, model.motion(first, model.detect(frames[-1:]))),
        atol=1e-5,
        rtol=0,
    )


FULL = Embedding(heat=True, difference=True, warped=True)
VARIANTS = [
    {},
    {"group_blocks": 0},
    {"group_blocks": 2, "dense_embedding": FULL, "clip_variance": 0.01, "scale": 0.5, "norm": 10},
    {"correction": False},
    {"dense_embedding": Embedding(True, True, False), "norm": "sum"},
    {"dense_embedding": Embedding(False, True, True)},
    {"pose_embedding": FULL},
    {"pose_embedding": Embedding(False, False, False)},
    {"scale": (1.0, 1.0, 0.25), "interpolation": "bilinear"},
    {"scale": (1.0, 0.25, 0.5)},
    {"channels": 1},
    {"keypoints": 1, "refinement": 0},
    {
        "generator": HourglassShape(6, 10, 4),
        "detector": HourglassShape(3, 6, 1),
        "dense": HourglassShape(5, 40, 3),
    },
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: ",".join(v) or "plain")
def test_an_untrained_model_is_recognised_and_configured_from_its_own_tensors(variant):
    kind = family("monkeynet")
    model = motion.build("monkeynet", **{**SMALL, **variant})
    # as published, for clips
    saved = {name: t.unsqueeze(2) if t.ndim == 4 else t for name, t in model.state_dict().items()}
    assert next(name for name in FAMILIES if family(name).recognise(saved)) == "monkeynet"
    untold = {name: value for name, value in variant.items() if name in kind.assumed}
    again = motion.build("monkeynet", **kind.configure(saved), **untold)
    assert again.spec == model.spec
    again.load_state_dict(kind.rename(saved), strict=True)
    frames = torch.rand(2, model.spec.channels, 64, 128)
    ours = animated(model, frames)
    assert ours.shape == frames.shape and torch.equal(ours, animated(again, frames))


def test_published_layouts_are_recognised_configured_and_loaded(layouts):
    kind = family("monkeynet")
    checked = [layout for layout in layouts if layout.family == "monkeynet"]
    assert checked
    for layout in checked:
        tensors = layout.tensors()
        assert next(name for name in FAMILIES if family(name).recognise(tensors)) == "monkeynet"
        found = kind.configure(tensors)
        common, detector, generator = (
            layout.parameters[key]
            for key in ("common_params", "kp_detector_params", "generator_params")
        )
        dense = generator["dense_motion_params"]
        for name, wanted in (("detector", detector), ("dense", dense), ("generator", generator)):
            shape = HourglassShape(
                wanted["block_expansion"], wanted["max_features"], wanted["num_blocks"]
            )
            assert found[name] == shape, (layout.name, name)
        assert found["keypoints"] == common["num_kp"]
        assert (
            found["group_blocks"] == dense.get("num_group_blocks", 0)
            and found["correction"] == dense["use_correction"]
        )
        assert found["dense_embedding"] == Embedding(
            True, dense["mask_embedding_params"].get("use_difference", False), True
        )
        assert found["pose_embedding"] == Embedding(True, False, False)
        assert found["refinement"] == generator["num_refinement_blocks"]
        with torch.device("meta"):
            kind.model(replace(kind.published, **found)).load_state_dict(
                kind.rename(tensors), strict=True, assign=True
            )


def test_no_covariance_is_narrower_than_the_clip():
    covariance = torch.tensor([[[[0.04, 0.01], [0.01, 0.003]], [[1e-4, 0.0], [0.0, 2e-4]]]])
    values = torch.linalg.svdvals(widened(covariance, 0.001))
    wanted = torch.linalg.svdvals(covariance)
    assert_close(values[0, 1, 1], torch.tensor(0.001))
    assert_close(values[0, 1, 0] / values[0, 1, 1], wanted[0, 1, 0] / wanted[0, 1, 1])
    assert_close(widened(covariance, 1e-6), covariance)


def test_the_warped_picture_is_resized_as_the_generator_does():
    """Nearest: whole blocks of pixels share a displacement's end."""
    grid = torch.rand(1, 4, 4, 2) * 2 - 1
    field = MonkeyNetField(grid, align_corners=False, interpolation="nearest")
    picture = torch.rand(1, 3, 8, 8)
    warped = field.warp(picture)
    assert torch.equal(warped[..., 0::2, 0::2], warped[..., 1::2, 1::2])
    assert not torch.equal(warped, replace(field, interpolation="bilinear").warp(picture))


def test_the_field_carries_the_pose_that_the_decoder_sees(frames):
    torch.manual_seed(0)
    model = motion.build("monkeynet", **SMALL, norm=1.0)
    with torch.no_grad():
        portrait = model.encode(frames[:1])
        points = replace(model.detect(frames), position=torch.rand(3, 3, 2) - 0.5)
        field = model.motion(portrait, points)
        joined = motion.MotionField.join([field[:1], field[1:]])
        assert torch.equal(model.generate(portrait, joined), model.generate(portrait, field))
        plain = motion.MotionField(field.grid, align_corners=True)
        assert not torch.equal(model.generate(portrait, plain), model.generate(portrait, field))


def test_a_pose_without_covariances_keeps_the_source_s(frames):
    model = motion.build("monkeynet", **SMALL)
    with torch.no_grad():
        portrait = model.encode(frames[:1])
        field = model.motion(portrait, motion.Keypoints(portrait.keypoints.position))
        assert_close(field.embedding, torch.zeros_like(field.embedding), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("option", "value"),
    [("norm", "mean"), ("scale", 2.0), ("scale", (1.0, 0.5)), ("interpolation", "cubic")],
)
def test_options_that_make_no_sense_are_refused(option, value):
    with pytest.raises(motion.InputError, match=option):
        motion.build("monkeynet", **{option: value})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_keypoints_and_fields_in_float32(golden, tmp_path, dtype):
    case = golden("monkeynet")
    pictures = []
    for model in (published(case, tmp_path), published(case, tmp_path, dtype=dtype)):
        portrait, points = model.encode(case.io["source"]), model.detect(case.io["driving"])
        field = model.motion(portrait, points)
        assert points.position.dtype == points.covariance.dtype == field.grid.dtype == torch.float32
        pictures.append(model.generate(portrait, field))
    assert -10 * torch.log10((pictures[0] - pictures[1]).square().mean()) > 40
