"""Fields, passes, tracks, latents and noise in a real ComfyUI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion.media import exr

pytestmark = pytest.mark.host


def node(type: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": type, "inputs": inputs}


def clip() -> dict[str, Any]:
    """The driving clip's own motion. Its field is ["field", 0]."""
    return {
        "video": node("LoadVideo", file="driving.mp4"),
        "frames": node("GetVideoComponents", video=["video", 0]),
        "field": node(
            "CM_FieldFromVideo",
            images=["frames", 0],
            reads="reference frame",
            reference_frame=0,
            detail=512,
        ),
    }


def run(host: Any, wanted: str, **nodes: Any) -> list[Any]:
    """What the wanted node gives, of the clip's nodes and these."""
    kind = clip() | nodes
    if not getattr(
        host.nodes.NODE_CLASS_MAPPINGS[kind[wanted]["class_type"]], "OUTPUT_NODE", False
    ):
        kind["shown"] = node("PreviewAny", source=[wanted, 0])
    done = host.run(kind)
    assert done.success, done.error
    return done.values[wanted]


def refused(host: Any, wanted: str, **nodes: Any) -> str:
    done = host.run(clip() | nodes | {"shown": node("PreviewAny", source=[wanted, 0])})
    assert not done.success
    return done.error


def test_a_clips_motion_is_a_field_and_its_inverse(host):
    field, inverse = run(host, "field")
    assert len(field) == len(inverse) == 10 and field.size == (64, 96)


def test_fields_are_composed_inverted_masked_weakened_and_smoothed(host):
    steps = {
        "mask": node("SolidMask", value=1.0, width=30, height=20),
        "inverted": node("CM_InvertField", field=["field", 0]),
        "both": node("CM_ComposeFields", first=["field", 0], then=["inverted", 0]),
        "masked": node("CM_MaskField", field=["both", 0], mask=["mask", 0], drawn_on="frame"),
        "half": node("CM_FieldStrength", field=["masked", 0], strength=0.5, per_frame="0, 1"),
        "smooth": node("CM_SmoothField", field=["half", 0], method="one-euro"),
    }
    (found,) = run(host, "smooth", **steps)
    assert len(found) == 10
    still = found.identity(10, *found.size).grid
    assert (found.grid - still).abs().mean() < 0.01  # there and back


@pytest.mark.parametrize("half", [False, True])
def test_a_saved_field_is_loaded_from_the_list(host, half):
    save = node("CM_SaveField", field=["field", 0], filename_prefix="tests/kept", half=half)
    (name,) = run(host, "saved", saved=save)
    assert name in host.info("CM_LoadField")["input"]["required"]["file"][1]["options"]
    done = host.run(
        {
            "loaded": node("CM_LoadField", file=name),
            "shown": node("PreviewAny", source=["loaded", 0]),
        }
    )
    assert done.success, done.error
    field, _ = run(host, "field")
    assert_close(done.values["loaded"][0].grid, field.grid, atol=1e-3 if half else 0, rtol=0)


def test_passes_are_saved_and_their_map_is_a_field_again(host):
    save = node(
        "CM_SaveMotionPasses",
        field=["field", 0],
        filename_prefix="tests/passes",
        images=["frames", 0],
        fps=12.5,
    )
    (folder,) = run(host, "saved", saved=save)
    about = json.loads((Path(folder) / "passes.json").read_text())
    assert (about["first"], about["last"], about["rate"]) == (1001, 1010, "25/2")
    (again,) = run(host, "saved", saved=save | {"inputs": save["inputs"] | {"first_frame": 1}})
    assert again != folder
    name = f"{Path(folder).relative_to(host.base / 'output').as_posix()}/passes.json [output]"
    done = host.run(
        {
            "loaded": node("CM_LoadField", file=name),
            "shown": node("PreviewAny", source=["loaded", 0]),
        }
    )
    assert done.success, done.error
    field, _ = run(host, "field")
    assert_close(done.values["loaded"][0].grid, field.grid, atol=1e-5, rtol=0)
    first = sorted(Path(folder).glob("*1001.exr"))[0]
    assert "R" in exr.read_exr(first)


def test_a_map_as_an_image_is_a_field(host):
    maps = {
        "picture": node("EmptyImage", width=32, height=16, batch_size=2, color=0x808000),
        "made": node("CM_FieldFromImage", images=["picture", 0], kind="STMap", v="up"),
    }
    (field,) = run(host, "made", **maps)
    assert len(field) == 2 and field.grid.abs().max() < 0.1


def test_latents_move_with_their_masks(host):
    latents = {
        "latent": node("EmptyLatentImage", width=96, height=64, batch_size=1),
        "mask": node("SolidMask", value=0.5, width=96, height=64),
        "masked": node("SetLatentNoiseMask", samples=["latent", 0], mask=["mask", 0]),
        "moved": node("CM_WarpLatent", field=["field", 0], latent=["masked", 0]),
    }
    (moved,) = run(host, "moved", **latents)
    assert moved["samples"].shape == (10, 4, 8, 12)
    assert moved["noise_mask"].shape == (10, 1, 64, 96)


def test_noise_goes_into_the_hosts_own_sampling(host):
    """AddNoise and SamplerCustomAdvanced ask `generate_noise`; so do we, as they do."""
    noises = {
        "latent": node("EmptyLatentImage", width=96, height=64, batch_size=10),
        "noise": node("CM_WarpNoise", field=["field", 0], latent=["latent", 0], seed=7),
    }
    noise, latent = run(host, "noise", **noises)
    asked = noise.generate_noise({"samples": torch.zeros(10, 16, 8, 12)})
    assert noise.seed == 7 and asked.shape == (10, 16, 8, 12)
    assert latent["samples"].shape == (10, 4, 8, 12)
    import comfy.sample

    core = comfy.sample.prepare_noise(torch.zeros(1, 4, 8, 12), 7)
    assert_close(latent["samples"][:1], core, atol=1e-5, rtol=0)
    error = refused(
        host,
        "noise",
        **noises | {"latent": node("EmptyLatentImage", width=96, height=64, batch_size=3)},
    )
    assert "Repeat Latent Batch" in error and "\n" not in error


@pytest.mark.parametrize("points", ["grid", "mask", "keypoints"])
def test_tracks_are_what_wan_reads(host, points):
    tracks = {
        "mask": node("SolidMask", value=1.0, width=30, height=20),
        "model": node("CM_LoadModel", model_name="vox-cpk.pth.tar"),
        "keypoints": node("CM_ExtractKeypoints", model=["model", 0], images=["frames", 0]),
        "tracks": node(
            "CM_FieldToTracks",
            field=["field", 0],
            width=192,
            height=128,
            points=points,
            count=12,
            mask=["mask", 0],
            keypoints=["keypoints", 0],
        ),
    }
    wire, text, length = run(host, "tracks", **tracks)
    assert wire["track_path"].shape[0] == wire["track_visibility"].shape[0] == length == 10
    assert wire["track_path"].shape[1:] == (*wire["track_visibility"].shape[1:], 2)
    from comfy_extras import nodes_wan

    read = nodes_wan.parse_json_tracks(text)
    assert 1 <= len(read) <= wire["track_path"].shape[1]
    assert max(len(track) for track in read) == 121
    assert min(p["x"] for track in read for p in track) >= 0 and max(p["x"] for p in read[0]) < 192


def test_keypoints_are_tracks_too(host):
    tracks = {
        "model": node("CM_LoadModel", model_name="vox-cpk.pth.tar"),
        "keypoints": node("CM_ExtractKeypoints", model=["model", 0], images=["frames", 0]),
        "tracks": node(
            "CM_KeypointsToTracks",
            keypoints=["keypoints", 0],
            width=832,
            height=480,
            text_points="one per frame",
        ),
    }
    wire, text, length = run(host, "tracks", **tracks)
    assert wire["track_path"].shape == (10, 5, 2) and length == 10
    assert {len(track) for track in json.loads(text)} == {10}


def test_what_is_hidden_holds_through_gaps_and_beyond_the_edge(host):
    masks = {
        "far": node("EmptyImage", width=32, height=16, batch_size=3, color=0xFFFFFF),
        "made": node(
            "CM_FieldFromImage", images=["far", 0], kind="displacement in pixels", v="down"
        ),
        "hidden": node("CM_OcclusionMask", field=["made", 0], width=0, height=0, close=2),
        "shown": node("PreviewAny", source=["hidden", 0]),
    }
    (hidden,) = run(host, "hidden", **masks)
    assert hidden[:, :, -1].min() > 0.99 and hidden[:, 2:-2, 2:-2].max() == 0
    inside = masks["hidden"]["inputs"] | {"outside": False}
    (hidden,) = run(host, "hidden", **masks | {"hidden": node("CM_OcclusionMask", **inside)})
    assert hidden.max() == 0
