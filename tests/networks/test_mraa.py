"""MRAA computes what the published network computes, in both regimes of sampling, and every variant
of it holds together.
"""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.networks import mraa
from comfyui_motion.networks.layers.avd import NO_AVD, AVDShape
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

PADDING = {"mraa": 3, "mraa-padding-0": 0}
NOWHERE = HourglassShape(0, 0, 0)
SMALL = dataclasses.replace(
    mraa.PUBLISHED,
    regions=3,
    detector=HourglassShape(4, 16, 2),
    flow=HourglassShape(6, 16, 2),
    background_encoder=HourglassShape(4, 16, 2),
    body=BodyShape(4, 16, 2, 1),
    avd=AVDShape(8, 6),
    head_padding=3,
    size=64,
)
VARIANTS = {
    "as published": {},
    "deeper and wider": {
        "flow": HourglassShape(6, 40, 3),
        "body": BodyShape(5, 40, 3, 2),
        "detector": HourglassShape(4, 32, 3),
    },
    "half the size": {"detector_scale": 0.5, "flow_scale": 0.5},
    "gray": {"channels": 1},
    "regression": {"jacobians": 1},
    "regression, a map each": {"jacobians": 3, "head_padding": 0},
    "still background": {"background": 0, "background_encoder": NOWHERE},
    "shift background": {"background": 2},
    "perspective background": {"background": 8, "background_encoder": HourglassShape(4, 32, 3)},
    "heatmaps alone": {"warped_source": False},
    "fixed heatmaps": {"covariance_heatmaps": False},
    "axes as they come": {"revert_axis_swap": False},
    "no skips": {"skips": False},
    "no occlusion": {"occlusion": False},
    "no occlusion, no skips": {"occlusion": False, "skips": False},
    "no avd": {"avd": NO_AVD},
}


def published(case, tmp_path, **options):
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(case.file)
    model = motion.load(path, device="cpu", **options)
    assert isinstance(model, mraa.MRAA)
    return model


def small(**values):
    torch.manual_seed(0)
    return mraa.MRAA(dataclasses.replace(SMALL, **values)).eval()


def pictures(count, channels=3, size=64):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(count))


def psnr(found, expected):
    return -10 * torch.log10((found - expected).square().mean()).item()


def close(found, recorded, tolerance):
    assert found.shape == recorded.shape
    assert_close(found, recorded, atol=tolerance, rtol=0)


def close_regions(found, recorded, name):
    for tensor, its_name in (
        (found.position, "shift"),
        (found.jacobian, "affine"),
        (found.covariance, "covar"),
    ):
        close(tensor, recorded[f"{name}.{its_name}"], 1e-4)


@pytest.mark.parametrize("name", PADDING)
@pytest.mark.parametrize("regime", [False, True])
@torch.no_grad()
def test_every_recorded_tensor_is_met(golden, tmp_path, name, regime):
    case = golden(name)
    model = published(case, tmp_path, head_padding=PADDING[name], align_corners=regime)
    recorded = {
        key.removeprefix(f"align_{str(regime).lower()}."): value for key, value in case.io.items()
    }
    portrait, regions = model.encode(recorded["source"]), model.detect(recorded["driving"])
    close(
        model.region_predictor.heatmaps(recorded["source"]),
        recorded["regions_source.heatmap"],
        1e-4,
    )
    close_regions(portrait.keypoints, recorded, "regions_source")
    close_regions(regions, recorded, "regions_driving")
    close(model.background(portrait, recorded["driving"]), recorded["background.matrix"], 1e-4)
    poses = {
        mode: motion.retarget(regions, regions[:1], portrait.keypoints, mode, True, 1.0, model)
        for mode in ("relative", "avd")
    }
    for mode, pose in poses.items():
        close_regions(pose, recorded, f"{mode}.regions")
    for mode, pose in {"standard": regions, **poses, "background": regions}.items():
        field = model.motion(portrait, pose, recorded["driving"] if mode == "background" else None)
        found = {
            "flow": field.grid,
            "occlusion": field.occlusion[0],
            "deformed": field.warp(recorded["source"]),
        }
        for what, tensor in found.items():
            if f"{mode}.{what}" in recorded and not regime:
                close(tensor, recorded[f"{mode}.{what}"], 1e-3 if what == "deformed" else 1e-4)
        if f"{mode}.prediction" in recorded:
            close(model.generate(portrait, field), recorded[f"{mode}.prediction"], 1e-3)


@torch.no_grad()
def test_a_batch_gives_what_single_frames_give(golden, tmp_path):
    case = golden("mraa")
    model = published(case, tmp_path, head_padding=3)
    portrait, regions = model.encode(case.io["source"]), model.detect(case.io["driving"])
    field = model.motion(portrait, regions)
    singly = [model.detect(frame) for frame in case.io["driving"].split(1)]
    fields = [model.motion(portrait, each) for each in singly]
    for name in ("position", "jacobian", "covariance"):
        close(getattr(motion.Keypoints.join(singly), name), getattr(regions, name), 1e-5)
    close(motion.MotionField.join(fields).grid, field.grid, 1e-5)
    picture = model.generate(portrait, field)
    close(torch.cat([model.generate(portrait, field[i]) for i in range(len(field))]), picture, 1e-5)


@torch.no_grad()
def test_a_source_of_its_own_for_every_frame_gives_what_one_source_gives(golden, tmp_path):
    case = golden("mraa")
    model = published(case, tmp_path, head_padding=3)
    source, driving = case.io["source"], case.io["driving"]
    one, many = model.encode(source), model.encode(source.expand(3, -1, -1, -1))
    regions = model.detect(driving)
    close(model.motion(many, regions, driving).grid, model.motion(one, regions, driving).grid, 1e-5)
    field = model.motion(one, regions)
    close(model.generate(many, field), model.generate(one, field), 1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_narrow_weights_keep_the_picture_and_leave_regions_float32(golden, tmp_path, dtype):
    case = golden("mraa")
    source, driving = case.io["source"], case.io["driving"]
    wide = published(case, tmp_path, head_padding=3)
    narrow = published(case, tmp_path, head_padding=3, dtype=dtype)
    assert narrow.dtype == dtype
    pictures = []
    for model in (wide, narrow):
        portrait = model.encode(source)
        field = model.motion(portrait, model.detect(driving))
        pictures.append(model.generate(portrait, field))
        assert field.grid.dtype == pictures[-1].dtype == torch.float32
    assert_close(narrow.detect(driving).position, wide.detect(driving).position)
    assert psnr(*pictures) > 40


def told(spec):
    """The parameters that shapes tell."""
    return {
        name: value
        for name, value in dataclasses.asdict(spec).items()
        if name not in mraa.FAMILY.assumed
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_tell_what_was_built(variant):
    with torch.device("meta"):
        model = mraa.MRAA(dataclasses.replace(SMALL, **VARIANTS[variant]))
    tensors = model.state_dict()
    assert mraa.recognise(tensors)
    assert told(dataclasses.replace(mraa.PUBLISHED, **mraa.configure(tensors))) == told(model.spec)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_every_variant_runs_and_stands_still_when_told_to(variant):
    model = small(**VARIANTS[variant])
    source, driving = pictures(1, model.spec.channels), pictures(2, model.spec.channels)
    portrait = model.encode(source)
    still = model.motion(portrait, portrait.keypoints)
    assert_close(still.grid, motion.MotionField.identity(1, *still.size).grid, atol=1e-4, rtol=0)
    field = model.motion(portrait, model.detect(driving), driving)
    frames = model.generate(portrait, field)
    assert (
        frames.shape == driving.shape
        and frames.isfinite().all()
        and frames.min() >= 0
        and frames.max() <= 1
    )
    assert len(field.occlusion) == model.spec.occlusion


@pytest.mark.parametrize("rows", [2, 6, 8])
@torch.no_grad()
def test_an_untrained_background_stands_still(rows):
    model = small(background=rows)
    assert_close(
        model.background(model.encode(pictures(1)), pictures(2)), torch.eye(3).expand(2, -1, -1)
    )


def test_without_a_background_predictor_there_is_no_matrix():
    model = small(background=0, background_encoder=NOWHERE)
    assert model.background(model.encode(pictures(1)), pictures(2)) is None


@torch.no_grad()
def test_parts_sum_to_one():
    for padding in (0, 3):
        parts = small(head_padding=padding).segment(pictures(2))
        assert parts.shape == (2, 4, 16, 16)
        assert_close(parts.sum(1), torch.ones(2, 16, 16))
        assert parts.min() >= 0


@torch.no_grad()
def test_the_source_is_encoded_once_and_sampled_five_times_per_batch(monkeypatch):
    model = small()
    portrait, regions = model.encode(pictures(1)), model.detect(pictures(3))
    calls = []

    def counted(*arguments):
        calls.append(1)
        return sample(*arguments)

    sample = mraa.sample
    monkeypatch.setattr(mraa, "sample", counted)
    for network in (
        model.generator.first,
        model.generator.pixelwise_flow_predictor.down,
        model.region_predictor,
    ):
        monkeypatch.setattr(network, "forward", None)
    model.generate(portrait, model.motion(portrait, regions))
    assert len(calls) == 5


def test_an_edited_pose_gets_its_covariance_from_its_frame_and_needs_one():
    model = small()
    portrait, regions = model.encode(pictures(1)), model.detect(pictures(2))
    edited = motion.Keypoints(regions.position, regions.jacobian)
    assert_close(
        model.motion(portrait, edited).grid, model.motion(portrait, regions).grid, atol=1e-4, rtol=0
    )
    with pytest.raises(motion.InputError, match="positions alone"):
        model.motion(portrait, motion.Keypoints(regions.position))


def test_avd_without_its_network_says_so():
    model = small(avd=NO_AVD)
    regions = model.detect(pictures(1))
    with pytest.raises(motion.InputError, match="avd_network"):
        model.avd(regions, regions)


def test_training_reaches_every_weight():
    model = small().train()
    source, driving = pictures(2), pictures(2).flip(0)
    portrait, regions = model.encode(source), model.detect(driving)
    model.generate(portrait, model.motion(portrait, regions, driving)).mean().backward()
    trained = {
        name
        for name, weight in model.named_parameters()
        if weight.grad is not None and weight.grad.isfinite().all()
    }
    assert {
        name for name, _ in model.named_parameters() if not name.startswith("avd_network")
    } == trained


def expected(parameters):
    """Our parameters from the authors' names."""
    flow, body, detector, background = (
        parameters["generator_params"]["pixelwise_flow_predictor_params"],
        parameters["generator_params"],
        parameters["region_predictor_params"],
        parameters["bg_predictor_params"],
    )

    def hourglass(values):
        return HourglassShape(
            values["block_expansion"], values["max_features"], values["num_blocks"]
        )

    rows = {"zero": 0, "shift": 2, "affine": 6, "perspective": 8}[background["bg_type"]]
    return {
        "channels": parameters["num_channels"],
        "regions": parameters["num_regions"],
        "jacobians": 0 if detector["pca_based"] else 1,
        "occlusion": flow["estimate_occlusion_map"],
        "warped_source": flow["use_deformed_source"],
        "background": rows,
        "detector": hourglass(detector),
        "detector_scale": detector["scale_factor"],
        "flow": hourglass(flow),
        "flow_scale": flow["scale_factor"],
        "background_encoder": hourglass(background) if rows else NOWHERE,
        "body": (body["block_expansion"], body["num_down_blocks"], body["num_bottleneck_blocks"]),
        "avd": AVDShape(
            parameters["avd_network_params"]["id_bottle_size"],
            parameters["avd_network_params"]["pose_bottle_size"],
        ),
    }


def test_published_layouts_are_recognised_configured_and_loaded(layouts):
    ours = [layout for layout in layouts if layout.family == "mraa"]
    assert ours
    for layout in ours:
        tensors = layout.tensors()
        assert mraa.recognise(tensors)
        found = mraa.configure(tensors)
        with torch.device("meta"):
            model = mraa.MRAA(dataclasses.replace(mraa.PUBLISHED, **found))
        model.load_state_dict(tensors, strict=True, assign=True)
        body = found["body"]
        assert {**found, "body": (body.width, body.downs, body.residuals)} == expected(
            layout.parameters
        )


def test_a_picture_too_small_for_an_unpadded_head_is_refused_in_a_sentence():
    """Its map would be narrower than the head's window: 16 is a multiple the hourglasses take, and
    leaves 4 of the 7 pixels.
    """
    model = motion.build("mraa", **dataclasses.asdict(dataclasses.replace(SMALL, head_padding=0)))
    assert (model.multiple, model.smallest) == (16, 32)
    with pytest.raises(motion.InputError, match="at least 32"):
        model.detect(torch.rand(1, 3, 16, 16))
    assert (
        motion.build(
            "mraa", **dataclasses.asdict(dataclasses.replace(SMALL, head_padding=3))
        ).smallest
        == 16
    )
