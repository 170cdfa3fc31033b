"""TPSMM computes what the published network computes, and every variant of it holds together."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.networks import tpsmm
from comfyui_motion.networks.layers.avd import NO_AVD, AVDShape
from comfyui_motion.networks.layers.blocks import HourglassShape

SMALL = dataclasses.replace(
    tpsmm.PUBLISHED,
    splines=2,
    dense=HourglassShape(6, 16, 2),
    inpainting=HourglassShape(4, 16, 3),
    avd=AVDShape(8, 6),
    size=64,
)
VARIANTS = {
    "as published": {},
    "deeper and wider": {
        "dense": HourglassShape(5, 80, 4),
        "inpainting": HourglassShape(4, 32, 3),
        "splines": 4,
    },
    "single mask": {"multi_mask": False},
    "half the size": {"dense_scale": 0.5, "dense": HourglassShape(6, 16, 3)},
    "full size": {"dense_scale": 1.0, "dense": HourglassShape(6, 16, 3)},
    "an eighth": {"dense_scale": 0.125},
    "gray": {"channels": 1},
    "two halvings, single mask": {"inpainting": HourglassShape(4, 16, 2), "multi_mask": False},
    "still background": {"background": False},
    "no avd": {"avd": NO_AVD},
}


def published(case, tmp_path, **options):
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(case.file)
    model = motion.load(path, device="cpu", **options)
    assert isinstance(model, tpsmm.TPSMM)
    return model


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return tpsmm.TPSMM(SMALL).eval()


def pictures(count, channels=3, size=64):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(count))


def psnr(found, expected):
    return -10 * torch.log10((found - expected).square().mean()).item()


def close(found, recorded, tolerance):
    assert found.shape == recorded.shape
    assert_close(found, recorded, atol=tolerance, rtol=0)


@torch.no_grad()
def test_every_recorded_tensor_is_met(golden, tmp_path):
    case = golden("tpsmm")
    model, recorded = published(case, tmp_path), case.io
    portrait, points = model.encode(recorded["source"]), model.detect(recorded["driving"])
    close(portrait.keypoints.position, recorded["kp_source"], 5e-4)
    close(points.position, recorded["kp_driving"], 5e-4)
    backgrounds = {"background": points} if "background.matrix" in recorded else {}
    if backgrounds:
        found = model.background(portrait, recorded["driving"])
        close(found, recorded["background.matrix"], 5e-4)
    poses = {
        mode: motion.retarget(points, points[:1], portrait.keypoints, mode, True, 1.0, model)
        for mode in ("relative", "avd")
    }
    for mode, pose in poses.items():
        close(pose.position, recorded[f"{mode}.kp"], 5e-4)
    for mode, pose in {"standard": points, **poses, **backgrounds}.items():
        field = model.motion(portrait, pose, recorded["driving"] if mode == "background" else None)
        close(field.grid, recorded[f"{mode}.deformation"], 5e-4)
        close(model.generate(portrait, field), recorded[f"{mode}.prediction"], 3e-3)
        if mode == "standard":
            close(field.contributions, recorded["standard.contributions"], 5e-4)
            close(field.warp(recorded["source"]), recorded["standard.deformed"], 3e-3)
            for i, level in enumerate(field.occlusion):
                close(level, recorded[f"standard.occlusion.{i}"], 5e-4)


@torch.no_grad()
def test_a_batch_gives_what_single_frames_give(golden, tmp_path):
    case = golden("tpsmm")
    model = published(case, tmp_path)
    portrait = model.encode(case.io["source"])
    together = model.generate(portrait, model.motion(portrait, model.detect(case.io["driving"])))
    singly = [
        model.generate(portrait, model.motion(portrait, model.detect(frame)))
        for frame in case.io["driving"].split(1)
    ]
    close(torch.cat(singly), together, 5e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_narrow_weights_keep_the_picture_of_the_published_network(golden, tmp_path, dtype):
    case = golden("tpsmm")
    found = []
    for model in (published(case, tmp_path), published(case, tmp_path, dtype=dtype)):
        portrait = model.encode(case.io["source"])
        found.append(
            model.generate(portrait, model.motion(portrait, model.detect(case.io["driving"])))
        )
    assert psnr(*found) > 40


def test_narrow_weights_leave_keypoints_and_splines_float32(small):
    narrow = tpsmm.TPSMM(SMALL).eval()
    narrow.load_state_dict(small.state_dict())
    narrow = narrow.to(torch.bfloat16)
    assert narrow.dtype == torch.bfloat16
    found = []
    with torch.no_grad():
        for model in (small, narrow):
            portrait = model.encode(pictures(1))
            points = model.detect(pictures(2))
            field = model.motion(portrait, points)
            assert points.position.dtype == field.grid.dtype == torch.float32
            found.append((points.position, model.generate(portrait, field)))
    assert_close(found[0][0], found[1][0])
    assert psnr(found[0][1], found[1][1]) > 40


def told(spec):
    """The parameters that shapes tell."""
    return {
        name: value
        for name, value in dataclasses.asdict(spec).items()
        if name not in tpsmm.FAMILY.assumed
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_tell_what_was_built(variant):
    with torch.device("meta"):
        model = tpsmm.TPSMM(dataclasses.replace(SMALL, **VARIANTS[variant]))
    tensors = model.state_dict()
    assert tpsmm.recognise(tensors)
    assert told(dataclasses.replace(tpsmm.PUBLISHED, **tpsmm.configure(tensors))) == told(
        model.spec
    )


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_every_variant_runs(variant):
    spec = dataclasses.replace(SMALL, **VARIANTS[variant])
    torch.manual_seed(0)
    model = tpsmm.TPSMM(spec).eval()
    source, driving = pictures(1, spec.channels), pictures(2, spec.channels)
    portrait = model.encode(source)
    field = model.motion(portrait, model.detect(driving), driving)
    frames = model.generate(portrait, field)
    assert (
        frames.shape == driving.shape
        and frames.isfinite().all()
        and frames.min() >= 0
        and frames.max() <= 1
    )
    side = round(64 * spec.dense_scale)
    assert [level.shape[-1] for level in field.occlusion] == (
        [8, 16, 32, 64] if spec.multi_mask else [side]
    )
    assert field.grid.shape == (2, side, side, 2) and field.contributions is not None
    assert_close(field.contributions.sum(1), torch.ones(2, side, side))


@torch.no_grad()
def test_a_batch_of_sources_and_single_frames_give_the_same(small):
    driving = pictures(3)
    points = small.detect(driving)
    one, many = small.encode(pictures(1)), small.encode(pictures(1).expand(3, -1, -1, -1))
    field = small.motion(one, points, driving)
    close(small.motion(many, points, driving).grid, field.grid, 5e-4)
    together = small.generate(one, field)
    close(small.generate(many, field), together, 5e-4)
    close(
        torch.cat(
            [
                small.generate(one, small.motion(one, points[i], driving[i : i + 1]))
                for i in range(3)
            ]
        ),
        together,
        5e-4,
    )


@torch.no_grad()
def test_a_field_edited_until_nothing_is_hidden_still_generates(small):
    portrait = small.encode(pictures(1))
    shown = small.generate(portrait, motion.MotionField.identity(1, 16, 16))
    assert_close(shown, pictures(1), atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_untrained_background_stands_still(small):
    assert_close(
        small.background(small.encode(pictures(1)), pictures(2)), torch.eye(3).expand(2, -1, -1)
    )


@torch.no_grad()
def test_parts_sum_to_one_and_come_without_generator_features(small):
    parts = small.segment(pictures(2))
    assert parts.shape == (2, 3, 16, 16)
    assert_close(parts.sum(1), torch.ones(2, 16, 16))


@torch.no_grad()
def test_the_source_is_sampled_six_times_per_batch(small, monkeypatch):
    portrait, points = small.encode(pictures(1)), small.detect(pictures(3))
    calls = []

    def counted(*arguments):
        calls.append(1)
        return sample(*arguments)

    sample = tpsmm.sample
    monkeypatch.setattr(tpsmm, "sample", counted)
    for network in (
        small.inpainting_network.first,
        small.dense_motion_network.down,
        small.kp_detector,
    ):
        monkeypatch.setattr(network, "forward", None)
    small.generate(portrait, small.motion(portrait, points))
    assert len(calls) == 6


def test_dropped_contributions_vanish_the_others_grow_and_the_background_stays():
    network = tpsmm.DenseMotion(SMALL).train()
    logits = torch.randn(64, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert network.drop(logits) is logits
    network.contribution_dropout = 0.3
    torch.manual_seed(0)
    factor = (network.drop(logits).double() - logits.double()).exp()
    assert_close(factor[:, 0], torch.ones_like(factor[:, 0]))
    splines = factor[:, 1:]
    assert_close(
        splines,
        torch.where(splines > 0, torch.full_like(splines, 1 / 0.7), torch.zeros_like(splines)),
        atol=1e-5,
        rtol=0,
    )
    assert 0.15 < (splines == 0).double().mean() < 0.45
    # a spline is left out of the whole picture
    assert torch.equal(splines == 0, (splines == 0)[..., :1, :1].expand_as(splines))
    assert network.eval().drop(logits) is logits


def test_training_reaches_every_weight():
    torch.manual_seed(0)
    model = tpsmm.TPSMM(SMALL).train()
    model.dense_motion_network.contribution_dropout = 0.3
    source, driving = pictures(2), pictures(2).flip(0)
    portrait = model.encode(source)
    model.generate(
        portrait, model.motion(portrait, model.detect(driving), driving)
    ).mean().backward()
    trained = {
        name
        for name, weight in model.named_parameters()
        if weight.grad is not None and weight.grad.isfinite().all()
    }
    assert {
        name for name, _ in model.named_parameters() if not name.startswith("avd_network")
    } == trained


def test_published_layouts_are_recognised_configured_and_loaded(layouts):
    ours = [layout for layout in layouts if layout.family == "tpsmm"]
    assert ours
    for layout in ours:
        tensors = layout.tensors()
        assert tpsmm.recognise(tensors)
        found = tpsmm.configure(tensors)
        with torch.device("meta"):
            model = tpsmm.TPSMM(dataclasses.replace(tpsmm.PUBLISHED, **found))
        model.load_state_dict(tensors, strict=True, assign=True)
        common, dense, body, avd = (
            layout.parameters[f"{name}_params"]
            for name in ("common", "dense_motion", "generator", "avd_network")
        )
        assert found == {
            "channels": common["num_channels"],
            "splines": common["num_tps"],
            "multi_mask": common["multi_mask"],
            "background": common["bg"],
            "dense": HourglassShape(
                dense["block_expansion"], dense["max_features"], dense["num_blocks"]
            ),
            "dense_scale": dense["scale_factor"],
            "inpainting": HourglassShape(
                body["block_expansion"], body["max_features"], body["num_down_blocks"]
            ),
            "avd": AVDShape(avd["id_bottle_size"], avd["pose_bottle_size"]),
        }
