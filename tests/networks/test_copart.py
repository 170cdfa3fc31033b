"""Co-part segmentation computes what the published network computes, under both of its names, in
both regimes of sampling.
"""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.networks.copart import PartKeypoints
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape
from comfyui_motion.parts import swap_parts
from comfyui_motion.registry import FAMILIES, family

NAMES = ["checkpoint", "checkpoint-released-names"]
SMALL = {
    "parts": 3,
    "affines": 3,
    "segmentation": HourglassShape(4, 16, 2),
    "body": BodyShape(4, 16, 2, 1),
}
ALIGNED = {"dense": HourglassShape(4, 16, 2), "dense_scale": 0.25, "occlusion": True}


def published(case, tmp_path, **options):
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(case.file)
    return motion.load(path, device="cpu", **options)


def close(found, recorded, tolerance):
    assert found.shape == recorded.shape
    assert_close(found, recorded, atol=tolerance, rtol=0)


@pytest.fixture
def frames():
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return lively(motion.build("copart", **SMALL))


def lively(model):
    """Weights drawn anew, so that nothing is at its starting point."""
    for parameter in model.parameters():
        (
            torch.nn.init.normal_(parameter, std=0.2)
            if parameter.ndim > 1
            else torch.nn.init.uniform_(parameter, 0.1, 0.9)
        )
    return model.requires_grad_(False)


@pytest.mark.parametrize("regime", [False, True])
@pytest.mark.parametrize("names", NAMES)
def test_every_recorded_tensor_is_met(golden, tmp_path, names, regime):
    case = golden("copart", names)
    model = published(case, tmp_path, align_corners=regime)
    assert model.family == "copart"
    recorded = {
        key.removeprefix(f"align_{str(regime).lower()}."): value for key, value in case.io.items()
    }
    portrait, points = model.encode(recorded["source"]), model.detect(recorded["driving"])
    for which, found in (("source", portrait.keypoints), ("driving", points)):
        close(found.position, recorded[f"parts_{which}.shift"], 1e-4)
        close(found.jacobian, recorded[f"parts_{which}.affine"], 1e-4)
        close(found.parts, recorded[f"parts_{which}.segmentation"], 1e-4)
    field = model.motion(portrait, points)
    close(model.generate(portrait, field), recorded["animate.prediction"], 1e-3)
    if not regime:
        close(field.occlusion[0], recorded["animate.visibility"], 1e-4)
        close(field.contributions, recorded["parts_driving.segmentation"], 1e-4)
        close(field.warp(recorded["source"]), recorded["animate.deformed"], 1e-3)
    for whose in ("source", "target"):
        for hard in (True, False):
            wanted = recorded.get(f"swap.{whose}_mask.{'hard' if hard else 'soft'}.prediction")
            if wanted is not None:
                found = swap_parts(
                    model, portrait, recorded["driving"], case.meta["swap_parts"], whose, hard
                )
                close(found, wanted, 1e-3)


def test_segment_gives_soft_parts_that_sum_to_one(model, frames):
    parts = model.segment(frames)
    assert parts.shape == (3, 4, 16, 16)
    assert_close(parts.sum(dim=1), torch.ones(3, 16, 16))


def test_a_batch_gives_what_single_frames_give(golden, tmp_path):
    case = golden("copart")
    model, frames = published(case, tmp_path), case.io["driving"]
    portrait = model.encode(frames[:1])
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


def test_parts_travel_with_their_keypoints(model, frames):
    points = model.detect(frames)
    assert_close(points[1].parts, points.parts[1:2])
    joined = motion.Keypoints.join([points[:1], points[1:]])
    assert isinstance(joined, PartKeypoints)
    assert torch.equal(joined.parts, points.parts)
    assert torch.equal(points.smooth(2.0).parts, points.parts)
    pose = motion.retarget(points, points[:1], model.encode(frames[:1]).keypoints, "relative")
    assert torch.equal(pose.parts, points.parts)


def test_parts_of_another_number_are_refused():
    with pytest.raises(motion.InputError, match="4 parts each"):
        PartKeypoints(torch.zeros(1, 3, 2), parts=torch.zeros(1, 3, 8, 8))


def test_a_pose_without_parts_moves_the_source_s_own(model, frames):
    portrait = model.encode(frames[:1])
    written = motion.Keypoints.from_json(portrait.keypoints.to_json())
    field = model.motion(portrait, written)
    assert_close(field.contributions, portrait.keypoints.parts, atol=1e-4, rtol=0)
    away = model.motion(portrait, replace(written, position=written.position + 0.3))
    assert_close(away.contributions.sum(dim=1), torch.ones(1, 16, 16), atol=1e-5, rtol=0)


def test_no_motion_is_the_identity_field(model, frames):
    portrait = model.encode(frames[:1])
    field = model.motion(portrait, portrait.keypoints)
    assert_close(field.warp(frames[:1]), frames[:1], atol=1e-4, rtol=0)


def test_visibility_can_be_switched_off(frames):
    without = motion.build("copart", **SMALL, visibility=False)
    with torch.no_grad():
        portrait = without.encode(frames[:1])
        assert without.motion(portrait, without.detect(frames)).occlusion == ()


VARIANTS = [
    {},
    {"affines": 0},
    {"affines": 1},
    {"parts": 1, "affines": 1},
    {"channels": 1},
    {"segmentation_scale": 1.0},
    {"segmentation_scale": 0.5, "segmentation": HourglassShape(6, 9, 3)},
    {"body": BodyShape(8, 16, 3, 2)},
    {"body": BodyShape(8, 16, 1, 0)},
    {"visibility": False},
    {"head_padding": 0},
    ALIGNED,
    {**ALIGNED, "occlusion": False, "affines": 0},
    {**ALIGNED, "dense_scale": 0.5, "dense": HourglassShape(5, 10, 1)},
]


def released(tensors):
    """Our names as the released files have them."""
    heads = {"shift": "kp", "affine": "jacobian", "segmentation": "semantic_seg"}
    renamed = {}
    for name, tensor in tensors.items():
        network, head, *rest = name.split(".")
        network = {"segmentation_module": "kp_detector", "reconstruction_module": "generator"}[
            network
        ]
        renamed[".".join([network, heads.get(head, head), *rest])] = tensor
    return renamed


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: ",".join(v) or "plain")
def test_an_untrained_model_is_recognised_and_configured_from_its_own_tensors(variant):
    kind = family("copart")
    model = lively(motion.build("copart", **{**SMALL, **variant}))
    untold = {name: value for name, value in variant.items() if name in kind.assumed}
    for tensors in (model.state_dict(), released(model.state_dict())):
        assert next(name for name in FAMILIES if family(name).recognise(tensors)) == "copart"
        again = motion.build("copart", **kind.configure(tensors), **untold)
        assert again.spec == model.spec
        again.load_state_dict(kind.rename(tensors), strict=True)
    frames = torch.rand(2, model.spec.channels, 64, 128)
    with torch.no_grad():
        ours, theirs = (
            m.generate(p := m.encode(frames[:1]), m.motion(p, m.detect(frames)))
            for m in (model, again)
        )
    assert ours.shape == frames.shape and torch.equal(ours, theirs)


def test_an_aligned_file_has_the_field_and_occlusion_of_its_motion_network(frames):
    model = lively(motion.build("copart", **{**SMALL, **ALIGNED}))
    portrait = model.encode(frames[:1])
    field = model.motion(portrait, model.detect(frames))
    assert field.occlusion[0].shape == (3, 1, 16, 16)
    assert not torch.equal(field.contributions, model.segment(frames))


def test_published_layouts_are_recognised_configured_and_loaded(layouts):
    kind = family("copart")
    checked = [layout for layout in layouts if layout.family == "copart"]
    assert checked
    for layout in checked:
        tensors = layout.tensors()
        assert next(name for name in FAMILIES if family(name).recognise(tensors)) == "copart"
        found = kind.configure(tensors)
        common, segmentation, body = layout.parameters.values()
        assert found["parts"] == common["num_segments"]
        assert found["affines"] == common["num_segments"] * common["estimate_affine_part"]
        shape = HourglassShape(
            segmentation["block_expansion"],
            segmentation["max_features"],
            segmentation["num_blocks"],
        )
        assert (
            found["segmentation"] == shape
            and found["segmentation_scale"] == segmentation["scale_factor"]
        )
        assert (found["body"].width, found["body"].downs) == (
            body["block_expansion"],
            body["num_down_blocks"],
        )
        assert found["body"].residuals == body["num_bottleneck_blocks"]
        with torch.device("meta"):
            kind.model(replace(kind.published, **found)).load_state_dict(
                kind.rename(tensors), strict=True, assign=True
            )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_keypoints_parts_and_fields_in_float32(golden, tmp_path, dtype):
    case = golden("copart")
    pictures = []
    for model in (published(case, tmp_path), published(case, tmp_path, dtype=dtype)):
        portrait, points = model.encode(case.io["source"]), model.detect(case.io["driving"])
        field = model.motion(portrait, points)
        assert (
            points.position.dtype
            == points.jacobian.dtype
            == points.parts.dtype
            == field.grid.dtype
            == torch.float32
        )
        pictures.append(model.generate(portrait, field))
    assert -10 * torch.log10((pictures[0] - pictures[1]).square().mean()) > 40
