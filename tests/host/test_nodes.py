"""The nodes in a real ComfyUI: they appear, explain themselves, and both workflows run."""

from __future__ import annotations

import inspect
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

pytestmark = pytest.mark.host

NODES = (
    "CM_LoadModel",
    "CM_Animate",
    "CM_ExtractKeypoints",
    "CM_RetargetKeypoints",
    "CM_SmoothKeypoints",
    "CM_KeypointsToJSON",
    "CM_KeypointsFromJSON",
    "CM_EstimateMotion",
    "CM_OcclusionMask",
    "CM_Generate",
    "CM_WarpImage",
    "CM_WarpMask",
    "CM_SegmentParts",
    "CM_PartMask",
    "CM_SwapParts",
    "CM_PreviewKeypoints",
    "CM_PreviewField",
    "CM_PreviewParts",
)
VOX = {"CM_LoadModel": {"model_name": "vox-cpk.pth.tar"}}
Workflow = Callable[..., dict[str, Any]]


def test_every_node_appears(host):
    ours = {name for name in host.nodes.NODE_CLASS_MAPPINGS if name.startswith("CM_")}
    assert ours == set(NODES)


@pytest.mark.parametrize("name", NODES)
def test_every_socket_explains_itself(host, name):
    info = host.info(name)
    assert info["description"].endswith(".") and info["display_name"] != name and info["category"].startswith("motion")
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    assert all(options[1].get("tooltip", "").endswith(".") for options in inputs.values()), inputs
    assert all(tooltip and tooltip.endswith(".") for tooltip in info["output_tooltips"]), info["output_tooltips"]


@pytest.mark.parametrize("name", NODES)
def test_every_node_has_its_help(name):
    assert (Path(__file__).parents[2] / "web" / "docs" / f"{name}.md").read_text().strip()


@pytest.mark.parametrize("name", NODES)
def test_execute_takes_every_input_and_optional_ones_have_defaults(host, name):
    info, node = host.info(name), host.nodes.NODE_CLASS_MAPPINGS[name]
    taken = inspect.signature(node.execute).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    for kind in ("required", "optional"):
        for given in info["input"].get(kind, {}):
            assert anything or given in taken
            assert anything or (taken[given].default is not inspect.Parameter.empty) == (kind == "optional")


def test_the_loader_lists_the_default_first_and_files_as_they_are_published(host):
    options = host.info("CM_LoadModel")["input"]["required"]["model_name"][1]["options"]
    assert options[0].startswith("flow")
    assert "vox-cpk.pth.tar" in options and "readme.md" not in options


@pytest.mark.parametrize("changes", [{}, VOX], ids=["flow", "fomm"])
def test_animate_runs(host, workflow: Workflow, of, changes):
    prompt = workflow("animate", **changes)
    done = host.run(prompt)
    assert done.success, done.error
    images, occlusion, field, keypoints = done.values[of.node(prompt, "CM_Animate")]
    assert images.shape == (10, 120, 90, 3) and occlusion.shape == (10, 120, 90)
    assert len(field) == len(keypoints) == 10
    assert images.min() >= 0 and images.max() <= 1
    assert_close(images[0], done.values[of.node(prompt, "LoadImage")][0][0], atol=0.03, rtol=0)
    (saved,) = done.shown[of.node(prompt, "SaveVideo")]["images"]
    assert (host.base / "output" / saved["subfolder"] / saved["filename"]).stat().st_size > 0


@pytest.mark.parametrize("size", ["source", "model"])
@pytest.mark.parametrize("changes", [{}, VOX], ids=["flow", "fomm"])
def test_the_opened_up_workflow_gives_the_frames_of_the_one_node(host, workflow: Workflow, of, changes, size):
    whole = workflow("animate", **changes, CM_Animate={"size": size})
    steps = workflow("animate_in_steps", **changes, CM_Generate={"size": size})
    one, many = host.run(whole), host.run(steps)
    assert one.success and many.success, one.error or many.error
    images, occlusion, field, keypoints = one.values[of.node(whole, "CM_Animate")]
    frames, masks = many.values[of.node(steps, "CM_Generate")]
    assert_close(frames, images, atol=1e-5, rtol=0)
    assert_close(masks, occlusion, atol=1e-5, rtol=0)
    assert_close(many.values[of.node(steps, "CM_EstimateMotion")][0].grid, field.grid, atol=1e-5, rtol=0)
    assert_close(many.values[of.node(steps, "CM_RetargetKeypoints")][0].position, keypoints.position, atol=1e-5, rtol=0)


def test_progress_ends_on_the_total_and_shows_pictures(host, workflow: Workflow):
    done = host.run(workflow("animate", **VOX, CM_Animate={"size": "model", "batch_size": 3}))
    told = [data for event, data in done.sent if event == "progress"]
    assert [data["value"] for data in told] == [0, 3, 6, 9, 10]
    assert all(data["max"] == 10 for data in told)
    assert told[-1]["preview"][0] == "JPEG"


def test_a_cancelled_prompt_stops(host, workflow: Workflow):
    from comfy.model_management import interrupt_current_processing

    values = []

    def cancel(event: str, data: Any) -> None:
        if event == "progress":
            values.append(data["value"])
            interrupt_current_processing(data["value"] >= 2)

    host.server.heard = cancel
    try:
        done = host.run(workflow("animate", **VOX, CM_Animate={"size": "model", "batch_size": 1, "strength": 0.9}))
    finally:
        host.server.heard = lambda event, data: None
        interrupt_current_processing(False)
    assert not done.success and "execution_interrupted" in done.messages
    assert max(values) == 2


def test_out_of_memory_halves_the_batch_and_goes_on(host, workflow: Workflow, of, monkeypatch, caplog):
    module = sys.modules[host.nodes.NODE_CLASS_MAPPINGS["CM_Animate"].__module__]
    perform = module.perform
    asked = []

    def short(model, source, driving, mode, size, batch_size, **options):
        asked.append(batch_size)
        if batch_size > 3:
            raise torch.OutOfMemoryError("not enough")
        return perform(model, source, driving, mode, size, batch_size, **options)

    monkeypatch.setattr(module, "perform", short)
    prompt = workflow("animate", **VOX, CM_Animate={"size": "model", "batch_size": 8, "strength": 0.8})
    with caplog.at_level(logging.ERROR):
        done = host.run(prompt)
    assert done.success, done.error
    assert asked == [8, 4, 2]
    assert len(done.values[of.node(prompt, "CM_Animate")][0]) == 10


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"<!DOCTYPE html><html><body>Quota exceeded</body></html>", "web page"), (b"PK\x03\x04 cut off", "")],
    ids=["html", "truncated"],
)
def test_a_bad_checkpoint_is_one_sentence(host, workflow: Workflow, content, words):
    name = f"bad-{len(content)}.pth.tar"
    (host.base / "models" / "motion" / name).write_bytes(content)
    done = host.run(workflow("animate", CM_LoadModel={"model_name": name}))
    assert not done.success
    assert name in done.error and words in done.error and "\n" not in done.error


def test_a_file_that_is_not_there_is_refused_before_anything_runs(host, workflow: Workflow):
    with pytest.raises(ValueError, match=r"There is no gone\.pth in models/motion"):
        host.run(workflow("animate", CM_LoadModel={"model_name": "gone.pth"}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "sideways"}, "mode must be"),
        ({"size": "huge"}, "size must be"),
        ({"fit": "tight"}, "fit must be"),
        ({"reference_frame": 99}, "reference frame 99"),
        ({"mode": "avd"}, "avd"),
    ],
)
def test_an_impossible_wish_is_one_sentence(host, workflow: Workflow, changes, words):
    done = host.run(workflow("animate", **VOX, CM_Animate=changes))
    assert not done.success and words in done.error and "\n" not in done.error


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CM_LoadModel": {"model_name": "vox-cpk.pth.tar", "precision": "float8"}}, "precision must be float32"),
        ({"CM_LoadModel": {"model_name": "vox-cpk.pth.tar", "align_corners": "perhaps"}}, "'perhaps' is no value"),
        ({"CM_LoadModel": {"model_name": "vox-cpk.pth.tar", "skips": "no"}}, "takes no option 'skips'"),
        ({**VOX, "CM_Generate": {"size": "huge"}}, "size must be source, model"),
        ({**VOX, "CM_RetargetKeypoints": {"mode": "sideways"}}, "mode must be"),
        ({**VOX, "CM_RetargetKeypoints": {"reference_frame": 10}}, "reference frame 10"),
    ],
)
def test_an_impossible_wish_of_a_step_is_one_sentence(host, workflow: Workflow, changes, words):
    done = host.run(workflow("animate_in_steps", **changes))
    assert not done.success and words in done.error and "\n" not in done.error


def test_the_best_reference_frame_is_the_same_in_one_node_and_in_steps(host, of, workflow: Workflow):
    whole = workflow("animate", **VOX, CM_Animate={"reference_frame": -1, "size": "model"})
    steps = workflow("animate_in_steps", **VOX, CM_RetargetKeypoints={"reference_frame": -1}, CM_Generate={"size": "model"})
    one, many = host.run(whole), host.run(steps)
    assert one.success and many.success, one.error or many.error
    assert_close(many.values[of.node(steps, "CM_Generate")][0], one.values[of.node(whole, "CM_Animate")][0], atol=1e-5, rtol=0)


def test_the_loader_says_what_it_recognised_and_assumed(host, workflow: Workflow, of):
    prompt = workflow("animate", CM_LoadModel={"model_name": "vox-cpk.pth.tar", "align_corners": "no", "head_padding": "0"})
    done = host.run(prompt)
    model, report = done.values[of.node(prompt, "CM_LoadModel")]
    assert model.model.spec.align_corners is False
    assert "fomm" in report and "align_corners False (given)" in report and "temperature 0.1 (as published" in report
    assert {"text": report, "node": of.node(prompt, "CM_LoadModel")} in [data for event, data in done.sent if event == "progress_text"]


def test_a_changed_file_is_loaded_anew(host, workflow: Workflow):
    node = host.nodes.NODE_CLASS_MAPPINGS["CM_LoadModel"]
    path = host.base / "models" / "motion" / "vox-cpk.pth.tar"
    before = node.fingerprint_inputs(model_name=path.name, precision="float32", align_corners=None)
    assert before == node.fingerprint_inputs(model_name=path.name)
    path.touch()
    time.sleep(0.01)
    assert before != node.fingerprint_inputs(model_name=path.name)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
def test_a_model_of_one_size_takes_any_picture(host, of, workflow: Workflow, fit):
    prompt = workflow("animate", **VOX, CM_Animate={"fit": fit, "source_image": ["90", 0], "driving_images": ["91", 0]})
    prompt["90"] = {"class_type": "ImageCrop", "inputs": {"image": ["1", 0], "width": 57, "height": 33, "x": 0, "y": 0}}
    prompt["91"] = {"class_type": "ImageFromBatch", "inputs": {"image": ["3", 0], "batch_index": 0, "length": 1}}
    done = host.run(prompt)
    assert done.success, done.error
    images, _, field, keypoints = done.values["5"]
    assert images.shape == (1, 32, 56, 3)
    assert_close(images, done.values["90"][0][:, :32, :56], atol=0.03, rtol=0)
    assert_close(field.grid, field.identity(1, *field.size).grid, atol=0.02, rtol=0)


def test_transparency_is_composited_and_batches_of_sources_give_the_first(host, of, workflow: Workflow):
    prompt = workflow("animate", CM_Animate={"source_image": ["92", 0]})
    prompt["90"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 90, "height": 120}}
    prompt["91"] = {"class_type": "JoinImageWithAlpha", "inputs": {"image": ["1", 0], "alpha": ["90", 0]}}
    prompt["92"] = {"class_type": "RepeatImageBatch", "inputs": {"image": ["91", 0], "amount": 2}}
    assert host.load_core("nodes_compositing.py")
    done = host.run(prompt)
    assert done.success, done.error
    images = done.values["5"][0]
    assert images.shape == (10, 120, 90, 3)
    assert_close(images[0], torch.ones(120, 90, 3))


def test_inputs_are_never_written_into(host, of, workflow: Workflow):
    prompt = workflow("animate_in_steps", **VOX)
    images = host.run(prompt).values
    before = images[of.node(prompt, "LoadImage")][0].clone()
    again = host.run(workflow("animate", **VOX, CM_Animate={"strength": 0.7}))
    assert_close(again.values["1"][0], before, atol=0, rtol=0)


def test_masks_and_warps_have_the_size_asked_for(host, of, workflow: Workflow):
    prompt = workflow("animate_in_steps", **VOX, CM_OcclusionMask={"width": 50, "height": 40, "threshold": 0.5, "grow": 2, "feather": 2.0})
    field = of.node(prompt, "CM_EstimateMotion")
    prompt["90"] = {"class_type": "CM_WarpImage", "inputs": {"field": [field, 0], "image": ["1", 0]}}
    prompt["91"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 31, "height": 17}}
    prompt["92"] = {"class_type": "CM_WarpMask", "inputs": {"field": [field, 0], "mask": ["91", 0]}}
    prompt["93"] = {"class_type": "MaskPreview", "inputs": {"mask": ["92", 0]}}
    prompt["94"] = {"class_type": "PreviewImage", "inputs": {"images": ["90", 0]}}
    done = host.run(prompt)
    assert done.success, done.error
    assert done.values[of.node(prompt, "CM_OcclusionMask")][0].shape == (10, 40, 50)
    assert done.values["90"][0].shape == (10, 120, 90, 3)
    assert done.values["92"][0].shape == (10, 17, 31)


def test_keypoints_survive_text_and_can_be_smoothed(host, of, workflow: Workflow):
    prompt = workflow("animate_in_steps", **VOX)
    keypoints = of.node(prompt, "CM_RetargetKeypoints")
    prompt["90"] = {"class_type": "CM_KeypointsToJSON", "inputs": {"keypoints": [keypoints, 0]}}
    prompt["91"] = {"class_type": "CM_KeypointsFromJSON", "inputs": {"json": ["90", 0]}}
    prompt["92"] = {"class_type": "CM_SmoothKeypoints", "inputs": {"keypoints": ["91", 0], "sigma": 0.0}}
    prompt[of.node(prompt, "CM_EstimateMotion")]["inputs"]["driving_keypoints"] = ["92", 0]
    done = host.run(prompt)
    assert done.success, done.error
    assert_close(done.values["92"][0].position, done.values[keypoints][0].position, atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", ["fomm", "fomm-single-jacobian", "tpsmm", "mraa", "copart", "monkeynet", "x2face"])
def test_every_family_runs_whole_and_in_steps(host, golden, of, workflow: Workflow, case):
    name = f"{case}.pth.tar"
    (host.base / "models" / "motion" / name).write_bytes(golden(case).file)
    loaded = {"CM_LoadModel": {"model_name": name}}
    whole = workflow("animate", **loaded)
    steps = workflow("animate_in_steps", **loaded)
    if case == "x2face":  # driven by frames, it has no points to draw
        steps = {n: node for n, node in steps.items() if node["class_type"] not in ("CM_PreviewKeypoints", "ImageStitch")}
        steps["15"]["inputs"]["images"] = [of.node(steps, "CM_PreviewField"), 0]
    one, many = host.run(whole), host.run(steps)
    assert one.success and many.success, one.error or many.error
    images = one.values[of.node(whole, "CM_Animate")][0]
    assert images.shape == (10, 120, 90, 3) and images.isfinite().all()
    assert_close(many.values[of.node(steps, "CM_Generate")][0], images, atol=1e-5, rtol=0)


def test_parts_are_found_drawn_and_swapped(host, golden, of, workflow: Workflow):
    (host.base / "models" / "motion" / "vox-10segments.pth.tar").write_bytes(golden("copart").file)
    prompt = workflow("swap_parts")
    parts = of.node(prompt, "CM_SegmentParts")
    prompt["90"] = {"class_type": "CM_PartMask", "inputs": {"parts": [parts, 0], "indices": "1-3", "width": 30, "height": 40}}
    prompt["91"] = {"class_type": "MaskPreview", "inputs": {"mask": ["90", 0]}}
    done = host.run(prompt)
    assert done.success, done.error
    assert_close(done.values[parts][0].sum(dim=1), torch.ones(1, *done.values[parts][0].shape[2:]))
    assert done.values["90"][0].shape == (1, 40, 30)
    swapped = done.values[of.node(prompt, "CM_SwapParts")][0]
    assert swapped.shape == (10, 64, 96, 3)
    other = host.run(workflow("swap_parts", CM_SwapParts={"strength": 0.0}))
    assert (swapped - other.values[of.node(prompt, "CM_SwapParts")][0]).abs().max() > 1e-4


def test_a_mask_from_outside_swaps_with_a_model_that_knows_no_parts(host, of, workflow: Workflow):
    prompt = workflow("swap_parts", **VOX, CM_SwapParts={"mask": ["90", 0], "indices": ""})
    for kind in ("PreviewImage", "CM_PreviewParts", "CM_SegmentParts"):
        del prompt[of.node(prompt, kind)]
    prompt["90"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 96, "height": 64}}
    done = host.run(prompt)
    assert done.success, done.error


def test_a_model_without_parts_says_so(host, workflow: Workflow):
    done = host.run(workflow("swap_parts", **VOX))
    assert not done.success and "parts" in done.error and "\n" not in done.error
