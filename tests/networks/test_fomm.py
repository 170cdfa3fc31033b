"""FOMM computes what the published network computes, in both regimes of sampling."""

import io

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape
from comfyui_motion.registry import family

CASES = ["fomm", "fomm-single-jacobian"]
SMALL = {
    "keypoints": 4,
    "jacobians": 4,
    "detector": HourglassShape(8, 32, 2),
    "dense": HourglassShape(8, 32, 2),
    "body": BodyShape(8, 32, 2, 1),
}


def published(case, tmp_path, **options):
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(case.file)
    return motion.load(path, device="cpu", **options)


def close(found, recorded, tolerance):
    assert found.shape == recorded.shape
    assert_close(found, recorded, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("regime", [False, True])
def test_every_recorded_tensor_is_met(golden, tmp_path, name, regime):
    case = golden(name)
    model = published(case, tmp_path, align_corners=regime)
    recorded = {
        key.removeprefix(f"align_{str(regime).lower()}."): value for key, value in case.io.items()
    }
    portrait, points = model.encode(recorded["source"]), model.detect(recorded["driving"])
    for which, found in (("source", portrait.keypoints), ("driving", points)):
        close(found.position, recorded[f"kp_{which}.value"], 1e-4)
        close(found.jacobian, recorded[f"kp_{which}.jacobian"], 1e-4)
    field = model.motion(portrait, points)
    close(model.generate(portrait, field), recorded["absolute.prediction"], 1e-3)
    if not regime:
        close(field.grid, recorded["absolute.deformation"], 1e-4)
        close(field.occlusion[0], recorded["absolute.occlusion"], 1e-4)
        close(field.contributions, recorded["absolute.contributions"], 1e-4)
        close(field.warp(recorded["source"]), recorded["absolute.deformed"], 1e-3)
    for mode, adapt in (("relative", False), ("relative_adapt", True)):
        pose = motion.retarget(
            points, points[:1], portrait.keypoints, "relative", adapt_scale=adapt
        )
        close(pose.position, recorded[f"{mode}.kp.value"], 1e-4)
        close(pose.jacobian, recorded[f"{mode}.kp.jacobian"], 1e-4)
        close(
            model.generate(portrait, model.motion(portrait, pose)),
            recorded[f"{mode}.prediction"],
            1e-3,
        )


def test_sampling_as_trained_is_the_default(golden, tmp_path):
    assert published(golden("fomm"), tmp_path).spec.align_corners is True


def test_a_batch_gives_what_single_frames_give(golden, tmp_path):
    case = golden("fomm")
    model = published(case, tmp_path)
    portrait = model.encode(case.io["source"])
    together = model.generate(portrait, model.motion(portrait, model.detect(case.io["driving"])))
    singly = [
        model.generate(portrait, model.motion(portrait, model.detect(frame)))
        for frame in case.io["driving"].split(1)
    ]
    assert_close(together, torch.cat(singly), atol=1e-5, rtol=0)


def test_a_source_of_its_own_for_every_frame_gives_what_single_sources_give(golden, tmp_path):
    case = golden("fomm")
    model = published(case, tmp_path)
    frames = case.io["driving"]
    portrait = model.encode(frames)
    together = model.generate(portrait, model.motion(portrait, model.detect(frames.flip(0))))
    first = model.encode(frames[:1])
    assert_close(
        together[:1],
        model.generate(first, model.motion(first, model.detect(frames[-1:]))),
        atol=1e-5,
        rtol=0,
    )


def test_no_motion_is_the_identity_field(golden, tmp_path):
    case = golden("fomm")
    model = published(case, tmp_path)
    portrait = model.encode(case.io["source"])
    still = model.motion(portrait, portrait.keypoints)
    assert_close(still.warp(case.io["source"]), case.io["source"], atol=1e-5, rtol=0)


VARIANTS = [
    {},
    {"jacobians": 0},
    {"jacobians": 1},
    {"occlusion": False},
    {"keypoints": 1, "jacobians": 1},
    {"channels": 1},
    {"detector_scale": 0.5, "dense_scale": 1.0},
    {"detector_scale": 0.125, "detector": HourglassShape(4, 1024, 1)},
    {"body": BodyShape(8, 16, 3, 2)},
    {"body": BodyShape(8, 64, 1, 0)},
    {"dense": HourglassShape(16, 20, 4), "detector": HourglassShape(8, 8, 3)},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: ",".join(v) or "plain")
def test_an_untrained_model_is_recognised_and_configured_from_its_own_tensors(variant):
    model = motion.build("fomm", **{**SMALL, **variant})
    tensors = model.state_dict()
    assert family("fomm").recognise(tensors)
    again = motion.build("fomm", **family("fomm").configure(tensors))
    again.load_state_dict(tensors, strict=True)
    frames = torch.rand(2, model.spec.channels, model.multiple * -(-64 // model.multiple), 128)
    with torch.no_grad():
        ours, theirs = (
            m.generate(p := m.encode(frames[:1]), m.motion(p, m.detect(frames)))
            for m in (model, again)
        )
    assert ours.shape == frames.shape and torch.equal(ours, theirs)


def test_published_layouts_are_recognised_and_configured(layouts):
    checked = [layout for layout in layouts if layout.family == "fomm"]
    assert checked
    for layout in checked:
        found = family("fomm").configure(layout.tensors())
        wanted = layout.parameters
        assert found["keypoints"] == wanted["common_params"]["num_kp"]
        detector = wanted["kp_detector_params"]
        assert found["jacobians"] == (
            1 if detector.get("single_jacobian_map") else found["keypoints"]
        )
        assert found["detector"] == HourglassShape(
            detector["block_expansion"], detector["max_features"], detector["num_blocks"]
        )
        assert found["detector_scale"] == detector["scale_factor"]
        dense = wanted["generator_params"]["dense_motion_params"]
        assert found["dense"] == HourglassShape(
            dense["block_expansion"], dense["max_features"], dense["num_blocks"]
        )
        assert (found["body"].width, found["body"].downs, found["body"].residuals) == (64, 2, 6)


def test_sizes_the_network_cannot_take_are_refused_in_a_sentence():
    model = motion.build("fomm", **SMALL)
    with pytest.raises(
        motion.InputError, match=f"multiples of {model.multiple}, at least 32, and frames is 100x64"
    ):
        model.detect(torch.rand(1, 3, 64, 100))
    with pytest.raises(motion.InputError, match="at least 32"):
        model.detect(torch.rand(1, 3, 16, 64))
    with pytest.raises(motion.InputError, match="floating point"):
        model.encode(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_half_precision_keeps_keypoints_and_fields_in_float32(golden, tmp_path):
    case = golden("fomm")
    exact = published(case, tmp_path)
    half = published(case, tmp_path, dtype=torch.bfloat16)
    pictures = []
    for model in (exact, half):
        portrait = model.encode(case.io["source"])
        points = model.detect(case.io["driving"])
        field = model.motion(portrait, points)
        assert points.position.dtype == points.jacobian.dtype == field.grid.dtype == torch.float32
        pictures.append(model.generate(portrait, field))
    assert pictures[1].dtype == torch.float32 and not torch.equal(*pictures)


def test_a_file_in_memory_reads_as_the_file_on_disk(golden, tmp_path):
    case = golden("fomm")
    on_disk = published(case, tmp_path).state_dict()
    in_memory = torch.load(io.BytesIO(case.file), weights_only=True)
    assert torch.equal(on_disk["kp_detector.kp.weight"], in_memory["kp_detector"]["kp.weight"])
