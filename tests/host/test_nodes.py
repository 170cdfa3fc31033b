"""The nodes in a real ComfyUI: they appear, explain themselves, and the workflows run."""

from __future__ import annotations

import inspect
import json
import logging
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from comfyui_motion.data.puppets.clips import UNSEEN, puppet_clip

pytestmark = pytest.mark.host

NODES = tuple(json.loads((Path(__file__).parents[1] / "golden" / "nodes.json").read_text()))
VOX = {"CM_LoadModel": {"model_name": "vox-cpk.pth.tar"}}
Workflow = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("name", NODES)
def test_every_socket_explains_itself(host, name):
    info = host.info(name)
    assert (
        info["description"].endswith(".")
        and info["display_name"] != name
        and info["category"].startswith("motion")
    )
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    assert all(options[1].get("tooltip", "").endswith(".") for options in inputs.values()), inputs
    assert all(tooltip and tooltip.endswith(".") for tooltip in info["output_tooltips"]), info[
        "output_tooltips"
    ]


@pytest.mark.parametrize("name", NODES)
def test_every_node_has_its_help_with_every_socket(host, name):
    help = (Path(__file__).parents[2] / "web" / "docs" / f"{name}.md").read_text()
    info = host.info(name)
    sockets = [*info["input"].get("required", {}), *info["input"].get("optional", {})]
    assert help.startswith("# ") and len(help.partition("## Inputs")[0].split()) > 12
    assert [s for s in [*sockets, *info["output_name"]] if f"**{s}**" not in help] == []


@pytest.mark.parametrize(
    "word",
    ["liveportrait", "motion transfer", "face", "expression", "talking", "puppet"],
)
def test_an_artists_words_find_a_node_by_its_name(host, word):
    """Of older pages, which search names alone, and no further than some thirty letters."""
    assert any(word in host.info(name)["display_name"].lower()[:36] for name in NODES)


@pytest.mark.parametrize("name", NODES)
def test_execute_takes_every_input_and_optional_ones_have_defaults(host, name):
    info, node = host.info(name), host.nodes.NODE_CLASS_MAPPINGS[name]
    taken = inspect.signature(inspect.unwrap(node.execute)).parameters  # its guard binds once more
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    for kind in ("required", "optional"):
        for given in info["input"].get(kind, {}):
            assert anything or given in taken
            assert anything or (taken[given].default is not inspect.Parameter.empty) == (
                kind == "optional"
            )


def test_the_loader_lists_the_default_first_and_files_as_they_are_published(host):
    options = host.info("CM_LoadModel")["input"]["required"]["model_name"][1]["options"]
    assert options[0].startswith("faces") and options[1].startswith("any subject")
    assert "vox-cpk.pth.tar" in options and "readme.md" not in options


@pytest.mark.parametrize("changes", [{}, VOX], ids=["flow", "fomm"])
def test_animate_runs(host, workflow: Workflow, of, changes):
    prompt = workflow("animate", **changes)
    done = host.run(prompt)
    assert done.success, done.error
    images, occlusion, field, keypoints, *_ = done.values[of.node(prompt, "CM_Animate")]
    assert images.shape == (10, 120, 90, 3) and occlusion.shape == (10, 120, 90)
    assert len(field) == len(keypoints) == 10
    assert images.min() >= 0 and images.max() <= 1
    assert_close(images[0], done.values[of.node(prompt, "LoadImage")][0][0], atol=0.03, rtol=0)
    (saved,) = done.shown[of.node(prompt, "SaveVideo")]["images"]
    assert (host.base / "output" / saved["subfolder"] / saved["filename"]).stat().st_size > 0


@pytest.mark.parametrize("size", ["source", "model"])
@pytest.mark.parametrize("changes", [{}, VOX], ids=["flow", "fomm"])
def test_the_opened_up_workflow_gives_the_frames_of_the_one_node(
    host, workflow: Workflow, of, changes, size
):
    whole = workflow("animate", **changes, CM_Animate={"size": size})
    steps = workflow("animate_in_steps", **changes, CM_Generate={"size": size})
    one, many = host.run(whole), host.run(steps)
    assert one.success and many.success, one.error or many.error
    images, occlusion, field, keypoints, *_ = one.values[of.node(whole, "CM_Animate")]
    frames, masks, _ = many.values[of.node(steps, "CM_Generate")]
    assert_close(frames, images, atol=1e-5, rtol=0)
    assert_close(masks, occlusion, atol=1e-5, rtol=0)
    assert_close(
        many.values[of.node(steps, "CM_EstimateMotion")][0].grid, field.grid, atol=1e-5, rtol=0
    )
    assert_close(
        many.values[of.node(steps, "CM_RetargetKeypoints")][0].position,
        keypoints.position,
        atol=1e-5,
        rtol=0,
    )


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
        done = host.run(
            workflow(
                "animate", **VOX, CM_Animate={"size": "model", "batch_size": 1, "strength": 0.9}
            )
        )
    finally:
        host.server.heard = lambda event, data: None
        interrupt_current_processing(False)
    assert not done.success and "execution_interrupted" in done.messages
    assert max(values) == 2


def test_out_of_memory_halves_the_batch_and_goes_on(
    host, workflow: Workflow, of, monkeypatch, caplog
):
    pack = host.nodes.NODE_CLASS_MAPPINGS["CM_Animate"].__module__.rpartition(".nodes.")[0]
    portraits = sys.modules[f"{pack}.comfyui_motion.framing.portrait"].FramedPortrait
    render, asked = portraits.render, []

    def short(portrait, field, size):
        asked.append(len(field))
        if len(field) > 3:
            raise torch.OutOfMemoryError("not enough")
        return render(portrait, field, size)

    monkeypatch.setattr(portraits, "render", short)
    prompt = workflow(
        "animate", **VOX, CM_Animate={"size": "model", "batch_size": 8, "strength": 0.8}
    )
    with caplog.at_level(logging.ERROR):
        done = host.run(prompt)
    assert done.success, done.error
    assert asked == [8, 4, 2, 2, 4, 2, 2, 2]
    assert len(done.values[of.node(prompt, "CM_Animate")][0]) == 10


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><body>Quota exceeded</body></html>", "web page"),
        (b"PK\x03\x04 cut off", ""),
    ],
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
        ({"mode": "sideways"}, "mode is one of absolute, relative, avd, and is 'sideways'"),
        ({"size": "huge"}, "size is one of source, model, and is 'huge'"),
        ({"fit": "tight"}, "fit is one of stretch, letterbox, crop, and is 'tight'"),
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
        (
            {"CM_LoadModel": {"model_name": "vox-cpk.pth.tar", "precision": "float8"}},
            "precision is one of float32, float16, bfloat16, and is 'float8'",
        ),
        (
            {"CM_LoadModel": {"model_name": "vox-cpk.pth.tar", "align_corners": "perhaps"}},
            "align_corners is one of as published, yes, no, and is 'perhaps'",
        ),
        (
            {"CM_LoadModel": {"model_name": "vox-cpk.pth.tar", "skips": "no"}},
            "takes no option 'skips'",
        ),
        ({**VOX, "CM_Generate": {"size": "huge"}}, "size is one of source, model, and is 'huge'"),
        (
            {**VOX, "CM_RetargetKeypoints": {"mode": "sideways"}},
            "mode is one of absolute, relative, avd",
        ),
        ({**VOX, "CM_RetargetKeypoints": {"reference_frame": 10}}, "reference frame 10"),
    ],
)
def test_an_impossible_wish_of_a_step_is_one_sentence(host, workflow: Workflow, changes, words):
    done = host.run(workflow("animate_in_steps", **changes))
    assert not done.success and words in done.error and "\n" not in done.error


def test_the_best_reference_frame_is_the_same_in_one_node_and_in_steps(
    host, of, workflow: Workflow
):
    whole = workflow("animate", **VOX, CM_Animate={"reference_frame": -1, "size": "model"})
    steps = workflow(
        "animate_in_steps",
        **VOX,
        CM_RetargetKeypoints={"reference_frame": -1},
        CM_Generate={"size": "model"},
    )
    one, many = host.run(whole), host.run(steps)
    assert one.success and many.success, one.error or many.error
    found, wanted = (
        many.values[of.node(steps, "CM_Generate")][0],
        one.values[of.node(whole, "CM_Animate")][0],
    )
    assert_close(
        found, wanted, atol=5e-5, rtol=0
    )  # the reference is detected alone here and in a batch there, which rounds differently


def write_faces(folder: Path) -> None:
    """aside.png, 384x192, a drawn face in its left half on a plain ground; face.mp4, another that
    fills its frames.
    """
    from comfy_api.latest import InputImpl, Types

    picture = torch.full((192, 384, 3), 0.5)
    picture[:, :192] = puppet_clip(UNSEEN + 7, 1, 192, "face").frames[0].permute(1, 2, 0)
    Image.fromarray((picture * 255).byte().numpy()).save(folder / "aside.png")
    frames = puppet_clip(UNSEEN + 3, 6, 192, "face").frames.permute(0, 2, 3, 1)
    clip = Types.VideoComponents(images=frames, frame_rate=Fraction(10))
    InputImpl.VideoFromComponents(clip).save_to(str(folder / "face.mp4"))


def test_a_face_that_is_found_moves_where_it_is_and_the_rest_stays(host, of, workflow: Workflow):
    write_faces(host.base / "input")
    prompt = workflow(
        "animate_found_face", LoadImage={"image": "aside.png"}, LoadVideo={"file": "face.mp4"}
    )
    done = host.run(prompt)
    assert done.success, done.error
    images = done.values[of.node(prompt, "CM_Animate")][0]
    changed = (
        (images - done.values[of.node(prompt, "LoadImage")][0]).abs().amax((0, 1, 3))
    )  # of each column
    assert images.shape == (6, 192, 384, 3)
    assert changed[:192].max() > 0.1 and changed[300:].max() < 1e-3


def test_motion_stays_in_the_box_round_a_painted_subject(host, of, workflow: Workflow):
    prompt = workflow("animate")
    animate = of.node(prompt, "CM_Animate")
    height, width = host.run(prompt).values[animate][0].shape[1:3]
    prompt["all"] = {
        "class_type": "SolidMask",
        "inputs": {"value": 0.0, "width": width, "height": height},
    }
    prompt["brush"] = {
        "class_type": "SolidMask",
        "inputs": {"value": 1.0, "width": width // 2, "height": height},
    }
    stroke = {"destination": ["all", 0], "source": ["brush", 0], "x": 0, "y": 0, "operation": "add"}
    prompt["painted"] = {"class_type": "MaskComposite", "inputs": stroke}
    prompt[animate]["inputs"]["subject"] = ["painted", 0]
    done = host.run(prompt)
    assert done.success, done.error
    images = done.values[animate][0]
    changed = (images - images[:1]).abs().amax((0, 1, 3))  # of each column
    assert changed[: width // 2].max() > 0.05 and changed[width * 2 // 3 :].max() < 1e-3


def encoded(prompt: dict[str, Any], of, **inputs: Any) -> dict[str, Any]:
    """The workflow in steps, its source encoded once for all of them."""
    extract, estimate, generate = (
        of.node(prompt, f"CM_{kind}")
        for kind in ("RetargetKeypoints", "EstimateMotion", "Generate")
    )
    taken = prompt[estimate]["inputs"]
    kept = {"model": taken["model"], "source_image": taken["source_image"]}
    prompt["portrait"] = {"class_type": "CM_EncodeSource", "inputs": {**kept, **inputs}}
    driver = prompt[extract]["inputs"]["driving_keypoints"][0]
    for node in (driver, estimate, generate):
        prompt[node]["inputs"]["portrait"] = ["portrait", 0]
    prompt[extract]["inputs"] |= {
        "source_keypoints": ["portrait", 1],
        "reference_frame": ["portrait", 2],
    }
    return prompt


def brush(prompt: dict[str, Any], name: str, size: tuple[int, int], part: tuple[int, ...]) -> list:
    """A mask of that width and height that marks (x, y, width, height)."""
    (width, height), (x, y, across, down) = size, part
    solid = {"class_type": "SolidMask"}
    prompt[f"{name} all"] = {**solid, "inputs": {"value": 0.0, "width": width, "height": height}}
    prompt[f"{name} brush"] = {**solid, "inputs": {"value": 1.0, "width": across, "height": down}}
    stroke = {"destination": [f"{name} all", 0], "source": [f"{name} brush", 0], "x": x, "y": y}
    prompt[name] = {"class_type": "MaskComposite", "inputs": {**stroke, "operation": "add"}}
    return [name, 0]


@pytest.mark.parametrize("model", [VOX, {}], ids=["fomm", "flow"])
@pytest.mark.parametrize("size", ["source", "model"])
def test_steps_over_one_portrait_give_the_one_node_s_frames_to_the_bit(
    host, of, workflow: Workflow, model, size
):
    whole = workflow("animate", **model, CM_Animate={"size": size, "reference_frame": 3})
    steps = workflow("animate_in_steps", **model, CM_Generate={"size": size})
    driving = whole[of.node(whole, "CM_Animate")]["inputs"]["driving_images"]
    for prompt in (whole, steps):
        brush(prompt, "painted", (90, 120), (10, 20, 50, 80))
        brush(prompt, "played", (96, 64), (8, 0, 60, 64))
    boxes = {"subject": ["painted", 0], "driving_subject": ["played", 0]}
    whole[of.node(whole, "CM_Animate")]["inputs"] |= boxes
    encoded(steps, of, driving_images=driving, reference_frame=3, **boxes)
    one, many = host.run(whole), host.run(steps)
    assert one.success and many.success, one.error or many.error
    wanted = one.values[of.node(whole, "CM_Animate")]
    found = many.values[of.node(steps, "CM_Generate")]
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])
    assert (wanted[0] - wanted[0][:1]).abs().max() > 0.05


def test_a_portrait_of_another_model_is_refused_in_a_sentence(host, of, workflow: Workflow):
    steps = encoded(workflow("animate_in_steps", **VOX), of)
    other = {"model_name": steps[of.node(steps, "CM_LoadModel")]["inputs"]["model_name"]}
    steps["other"] = {"class_type": "CM_LoadModel", "inputs": {**other, "temperature": 0.2}}
    steps["portrait"]["inputs"]["model"] = ["other", 0]
    done = host.run(steps)
    assert not done.success and "encoded by another model" in done.error


def sampled() -> dict[str, Any]:
    """The pack's own picture and three frames of its clip, small."""
    scaled = {"upscale_method": "area", "width": 256, "height": 256, "crop": "disabled"}
    return {
        "sample": {
            "class_type": "CM_SampleMotion",
            "inputs": {"picture": "source.png", "clip": "driving.mp4"},
        },
        "parts": {"class_type": "GetVideoComponents", "inputs": {"video": ["sample", 1]}},
        "three": {
            "class_type": "ImageFromBatch",
            "inputs": {"image": ["parts", 0], "batch_index": 12, "length": 3},
        },
        "picture": {"class_type": "ImageScale", "inputs": {"image": ["sample", 0], **scaled}},
        "clip": {"class_type": "ImageScale", "inputs": {"image": ["three", 0], **scaled}},
    }


@pytest.mark.parametrize("name", ["the default", "vox-cpk.pth.tar"])
def test_of_a_face_too_steps_over_one_portrait_give_the_one_node_s_frames_to_the_bit(host, name):
    options = host.info("CM_LoadModel")["input"]["required"]["model_name"][1]["options"]
    told = {"model_name": options[0] if name == "the default" else name}
    prompt = sampled() | {"model": {"class_type": "CM_LoadModel", "inputs": told}}
    model, source, clip = (
        {"model": ["model", 0]},
        {"source_image": ["picture", 0]},
        {"driving_images": ["clip", 0]},
    )
    over = {"portrait": ["portrait", 0]}
    retarget = {"mode": "relative", "adapt_scale": True, "strength": 1.0}
    several = {**model, **source}
    finder = {}
    if name != "the default":  # the face that another model is framed by
        prompt["finder"] = {"class_type": "CM_LoadModel", "inputs": {"model_name": options[0]}}
        finder = {"finder": ["finder", 0]}
    one = {"mode": "relative", "adapt_scale": True, "strength": 1.0, "size": "source"}
    for node, kind, inputs in (
        ("whole", "Animate", {**several, **clip, **one, **finder, "reference_frame": -1}),
        ("portrait", "EncodeSource", {**several, **clip, **finder, "reference_frame": -1}),
        ("points", "ExtractKeypoints", {**model, "images": ["clip", 0], **over}),
        (
            "pose",
            "RetargetKeypoints",
            {
                **model,
                **retarget,
                "driving_keypoints": ["points", 0],
                "source_keypoints": ["portrait", 1],
                "reference_frame": ["portrait", 2],
            },
        ),
        ("field", "EstimateMotion", {**several, **over, "driving_keypoints": ["pose", 0]}),
        ("frames", "Generate", {**several, **over, "field": ["field", 0], "size": "source"}),
        ("look", "PreviewField", {"field": ["field", 0]}),
    ):
        prompt[node] = {"class_type": f"CM_{kind}", "inputs": inputs}
    for node in ("whole", "frames"):
        prompt[f"see {node}"] = {"class_type": "PreviewImage", "inputs": {"images": [node, 0]}}
    done = host.run(prompt)
    assert done.success, done.error
    wanted, found = done.values["whole"], done.values["frames"]
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])
    assert (wanted[0] - wanted[0][:1]).abs().max() > 0.05


def test_what_a_node_was_warned_of_stays_on_it(host):
    plain = {"width": 64, "height": 64, "batch_size": 2, "color": 0x335577}
    done = host.run(
        {
            "model": {"class_type": "CM_LoadModel", "inputs": VOX["CM_LoadModel"]},
            "plain": {"class_type": "EmptyImage", "inputs": plain},
            "source": {
                "class_type": "CM_EncodeSource",
                "inputs": {
                    "model": ["model", 0],
                    "source_image": ["plain", 0],
                    "driving_images": ["plain", 0],
                    "find_face": "on",
                },
            },
            "shown": {"class_type": "PreviewAny", "inputs": {"source": ["source", 2]}},
        }
    )
    assert done.success, done.error
    (word,) = done.shown["source"]["motion_words"]
    assert "Neither the picture nor the clip shows a face" in word
