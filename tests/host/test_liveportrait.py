"""LivePortrait in ComfyUI: listed as one, animated in one node and in steps, dialled
without a clip.
"""

import pytest
from torch.testing import assert_close

pytestmark = pytest.mark.host


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


@pytest.fixture
def start():
    """A model, a picture and a clip, and where in both the head is, for the finder sees none."""
    return {
        "model": node("CM_LoadModel", model_name="LivePortrait", size=64),
        "picture": node("LoadImage", image="source.png"),
        "film": node("LoadVideo", file="driving.mp4"),
        "clip": node("GetVideoComponents", video=["film", 0]),
        "box": node("SolidMask", value=1.0, width=60, height=60),
        "none": node("SolidMask", value=0.0, width=90, height=120),
        "mask": node(
            "MaskComposite", destination=["none", 0], source=["box", 0], x=15, y=20, operation="or"
        ),
        "theirs": node("SolidMask", value=1.0, width=96, height=64),
    }


ASKED = {"mode": "relative", "adapt_scale": True, "reference_frame": 0}


def test_the_five_files_are_listed_as_one(host):
    options = host.info("CM_LoadModel")["input"]["required"]["model_name"][1]["options"]
    assert "LivePortrait" in options and not any("extractor" in option for option in options)


def test_one_node_and_the_steps_over_one_portrait_give_the_same_frames(host, start):
    prompt = start | {
        "whole": node(
            "CM_Animate",
            model=["model", 0],
            source_image=["picture", 0],
            driving_images=["clip", 0],
            subject=["mask", 0],
            driving_subject=["theirs", 0],
            size="source",
            **ASKED,
        ),
        "source": node(
            "CM_EncodeSource",
            model=["model", 0],
            source_image=["picture", 0],
            subject=["mask", 0],
            driving_images=["clip", 0],
            driving_subject=["theirs", 0],
            reference_frame=0,
        ),
        "points": node(
            "CM_ExtractKeypoints", model=["model", 0], images=["clip", 0], portrait=["source", 0]
        ),
        "pose": node(
            "CM_RetargetKeypoints",
            driving_keypoints=["points", 0],
            source_keypoints=["source", 1],
            model=["model", 0],
            strength=1.0,
            **ASKED,
        ),
        "field": node(
            "CM_EstimateMotion",
            model=["model", 0],
            source_image=["picture", 0],
            driving_keypoints=["pose", 0],
            portrait=["source", 0],
        ),
        "frames": node(
            "CM_Generate",
            model=["model", 0],
            source_image=["picture", 0],
            field=["field", 0],
            size="source",
            portrait=["source", 0],
        ),
        "look": node("PreviewImage", images=["frames", 0]),
        "one": node("PreviewImage", images=["whole", 0]),
    }
    done = host.run(prompt)
    assert done.success, done.error
    whole, steps = done.values["whole"][0], done.values["frames"][0]
    assert whole.shape == (10, 120, 90, 3)
    assert_close(steps, whole, atol=1e-4, rtol=0)
    assert_close(whole[0], done.values["picture"][0][0], atol=1 / 255, rtol=0)
    assert (whole[5] - whole[0]).abs().max() > 0.02


def test_a_picture_is_dialled_with_no_clip_at_all(host, start):
    for unused in ("film", "clip", "theirs"):
        del start[unused]
    prompt = start | {
        "source": node(
            "CM_EncodeSource",
            model=["model", 0],
            source_image=["picture", 0],
            subject=["mask", 0],
            reference_frame=0,
        ),
        "first": node(
            "CM_EditExpression", keypoints=["source", 1], frame=2, ease=1, frames=7, smile=1.0
        ),
        "second": node("CM_EditExpression", keypoints=["first", 0], frame=6, ease=1, yaw=20.0),
        "field": node(
            "CM_EstimateMotion",
            model=["model", 0],
            source_image=["picture", 0],
            driving_keypoints=["second", 0],
            portrait=["source", 0],
        ),
        "frames": node(
            "CM_Generate",
            model=["model", 0],
            source_image=["picture", 0],
            field=["field", 0],
            size="source",
            portrait=["source", 0],
        ),
        "look": node("PreviewImage", images=["frames", 0]),
    }
    done = host.run(prompt)
    assert done.success, done.error
    frames, picture = done.values["frames"][0], done.values["picture"][0]
    moved = (frames - picture).abs().amax((1, 2, 3))
    assert moved[[0, 4]].max() < 1 / 255 and moved[[2, 6]].min() > 3 / 255
