"""Clips on one wire, dials that run only what hangs on them, words that stay: in a real ComfyUI."""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch.testing import assert_close

pytestmark = pytest.mark.host
CLIP, STILL = ["clip", 0], ["still", 0]


def prompt_of(**changes: Any) -> dict[str, Any]:
    """One Animate Picture over a picture and a video, and what shows its images and its video."""
    animate = {
        "model": ["model", 0],
        "source_image": STILL,
        "driving_images": CLIP,
        "mode": "relative",
        "adapt_scale": True,
        "reference_frame": 0,
        "size": "source",
    }
    save = {"video": ["animate", 4], "filename_prefix": "moved", "format": "auto", "codec": "auto"}
    return {
        "model": {
            "class_type": "CM_LoadModel",
            "inputs": {"model_name": "flow (needs no weights)"},
        },
        "still": {"class_type": "LoadImage", "inputs": {"image": "source.png"}},
        "clip": {"class_type": "LoadVideo", "inputs": {"file": "driving.mp4"}},
        "animate": {"class_type": "CM_Animate", "inputs": animate | changes},
        "save": {"class_type": "SaveVideo", "inputs": save},
    }


def animate_module(host: Any) -> Any:
    return sys.modules[host.nodes.NODE_CLASS_MAPPINGS["CM_Animate"].__module__]


def test_a_video_goes_in_and_comes_out_with_its_sound_and_rate(host):
    done = host.run(prompt_of())
    assert done.success, done.error
    images, _, _, _, video, _ = done.values["animate"]
    parts = video.get_components()
    assert_close(parts.images, images)
    assert images.shape == (10, 120, 90, 3) and parts.frame_rate == Fraction(25, 2)
    assert parts.audio["sample_rate"] == 8000 and parts.audio["waveform"].shape[-1] > 6000
    frames = prompt_of(driving_images=["parts", 0])
    frames["parts"] = {"class_type": "GetVideoComponents", "inputs": {"video": CLIP}}
    assert_close(host.run(frames).values["animate"][0], images, atol=2e-2, rtol=0)


def test_a_range_of_the_clip_is_taken(host):
    whole = host.run(prompt_of()).values["animate"][0]
    done = host.run(prompt_of(start_frame=0, frame_count=3, every_nth=2))
    assert done.success, done.error
    assert done.values["animate"][4].get_components().frame_rate == Fraction(25, 4)
    assert_close(done.values["animate"][0], whole[0:6:2], atol=1e-4, rtol=0)


def test_a_range_beyond_the_end_is_one_sentence(host):
    done = host.run(prompt_of(start_frame=99))
    assert not done.success and "begins at frame 99, and the clip has 10" in done.error


def test_video_only_gives_the_same_film_and_says_why_the_rest_is_silent(host):
    whole = host.run(prompt_of()).values["animate"][0]
    prompt = prompt_of(outputs="video only")
    prompt["shown"] = {"class_type": "PreviewImage", "inputs": {"images": ["animate", 0]}}
    done = host.run(prompt)
    parts = done.values["animate"][4].get_components()
    assert_close(parts.images, whole, atol=0.1, rtol=0)
    assert parts.audio is not None and parts.frame_rate == Fraction(25, 2)
    assert any("video only" in str(data) for event, data in done.sent if "error" in event)


def test_a_source_that_moves_keeps_its_own_motion_and_takes_the_clips_beside(host):
    done = host.run(prompt_of(source_image=CLIP, strength=0.0))
    assert done.success, done.error
    own = done.values["clip"][0].get_components().images
    assert_close(done.values["animate"][0], own, atol=2e-2, rtol=0)
    moved = host.run(prompt_of(source_image=CLIP)).values["animate"][0]
    assert moved.shape == own.shape and (moved - own).abs().max() > 0.1


def test_a_dial_that_is_turned_does_not_look_for_keypoints_again(host, monkeypatch):
    host.run(prompt_of())
    model = host.executor.caches.outputs.get("model")[0][0].model
    asked = []
    detect = type(model).detect
    monkeypatch.setattr(type(model), "detect", lambda *a, **k: asked.append(1) or detect(*a, **k))
    done = host.run(prompt_of(strength=0.37))
    assert done.success and not asked, done.error


def test_what_plays_and_what_is_said_stay_on_the_node(host):
    done = host.run(prompt_of(strength=0.9))
    (film,) = done.shown["animate"]["motion_film"]
    assert list(film["panels"]) == ["driver", "before", "after"] and film["frames"] == 10
    assert (host.base / "temp" / film["filename"]).stat().st_size > 1000
    assert "flow" in done.shown["model"]["motion_words"][0]


def test_an_error_is_of_a_kind_with_a_name_and_not_a_path(host):
    done = host.run(prompt_of(reference_frame=99))
    assert done.messages["execution_error"]["exception_type"] == "comfyui_motion.InputError"


def test_every_pass_is_as_large_as_the_frames(host):
    prompt = prompt_of(source_image=["odd", 0])
    size = {"width": 91, "height": 121, "batch_size": 1, "color": 0x336699}
    prompt["odd"] = {"class_type": "EmptyImage", "inputs": size}
    passes = {
        "CM_OcclusionMask": {"width": 0, "height": 0},
        "CM_WarpImage": {"image": ["odd", 0]},
    }
    for kind, inputs in passes.items():
        prompt[kind] = {"class_type": kind, "inputs": {"field": ["animate", 2], **inputs}}
    prompt["seen"] = {"class_type": "MaskPreview", "inputs": {"mask": ["CM_OcclusionMask", 0]}}
    prompt["shown"] = {"class_type": "PreviewImage", "inputs": {"images": ["CM_WarpImage", 0]}}
    done = host.run(prompt)
    assert done.success, done.error
    assert done.values["animate"][0].shape == (10, 120, 90, 3)
    assert done.values["CM_OcclusionMask"][0].shape == (10, 120, 90)
    assert done.values["CM_WarpImage"][0].shape == (10, 120, 90, 3)
    assert "video needs even sizes" in done.shown["animate"]["motion_words"][0]


def test_a_lattice_is_not_written_as_text_but_to_a_file(host):
    prompt = prompt_of()
    text = {"class_type": "CM_KeypointsToJSON", "inputs": {"keypoints": ["animate", 3]}}
    shown = {"class_type": "PreviewAny", "inputs": {"source": ["text", 0]}}
    done = host.run(prompt | {"text": text, "shown": shown})
    assert not done.success and "Save Keypoints" in done.error


def test_a_cancelled_run_stops_inside_a_batch(host):
    from comfy.model_management import interrupt_current_processing

    model = host.executor.caches.outputs.get("model")[0][0]
    network = model.ready()
    interrupt_current_processing(True)
    with pytest.raises(BaseException, match="|") as raised:
        network.detect(torch.rand(1, 3, 32, 32))
    assert "Interrupt" in type(raised.value).__name__
