"""What our nodes give, taken by the host's own sampling, inpainting and Wan nodes: over models of
its own kinds, small and untrained.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

ROOT = Path(__file__).parents[2]
FRAMES = 10
NUMBERS = itertools.count()
CORE = (
    "nodes_custom_sampler.py",
    "nodes_model_advanced.py",
    "nodes_wan.py",
    "nodes_differential_diffusion.py",
)
pytestmark = pytest.mark.host


def node(type: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": type, "inputs": inputs}


def untrained(module: nn.Module) -> nn.Module:
    """The host leaves weights as the memory was, until a file fills them."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            weight.normal_(0, 0.05) if weight.ndim > 1 else weight.fill_(name.endswith("weight"))
    return module.eval()


def tiny_model() -> Any:
    """Stable Diffusion 1.5, a fortieth as wide."""
    from comfy import supported_models
    from comfy.model_patcher import ModelPatcher

    shape = {
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 32,
        "num_res_blocks": [1, 1],
        "transformer_depth": [1, 1],
        "transformer_depth_output": [1, 1, 1, 1],
        "transformer_depth_middle": 1,
        "channel_mult": [1, 2],
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "context_dim": 16,
        "use_spatial_transformer": True,
        "num_heads": 2,
        "dtype": torch.float32,
    }
    model = supported_models.SD15(shape).get_model({}, device=torch.device("cpu"))
    return ModelPatcher(untrained(model), torch.device("cpu"), torch.device("cpu"))


def tiny_video_model() -> Any:
    """Wan 2.1's, a fortieth as wide: latents B 16 T h w."""
    from comfy import supported_models
    from comfy.model_patcher import ModelPatcher

    shape = {
        "image_model": "wan2.1",
        "model_type": "t2v",
        "dim": 48,
        "ffn_dim": 64,
        "freq_dim": 32,
        "text_dim": 16,
        "text_len": 8,
        "num_heads": 2,
        "num_layers": 1,
        "in_dim": 16,
        "out_dim": 16,
    }
    configuration = supported_models.WAN21_T2V(shape)
    configuration.set_inference_dtype(torch.float32, None)
    model = configuration.get_model({}, device=torch.device("cpu"))
    return ModelPatcher(untrained(model), torch.device("cpu"), torch.device("cpu"))


def tiny_wan_vae(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Wan 2.1's, a twelfth as wide."""
    import comfy.ldm.wan.vae as wan
    import comfy.sd

    whole = wan.WanVAE
    monkeypatch.setattr(wan, "WanVAE", lambda **shape: whole(**(shape | {"dim": 8})))
    shape = {"z_dim": 16, "temperal_downsample": [False, True, True]}
    return comfy.sd.VAE(untrained(whole(dim=8, **shape)).state_dict())


class PictureVAE:
    """Stands for a VAE of pictures: an eighth of their size, and back."""

    def spacial_compression_encode(self) -> int:
        return 8

    downscale_ratio = 8

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        small = nn.functional.avg_pool2d(pictures[..., :3].movedim(-1, 1), 8)
        return torch.cat([small, small.mean(1, keepdim=True)], dim=1)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(latents[:, :3], scale_factor=8.0).movedim(1, -1)


@pytest.fixture
def given(host: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], dict[str, Any]]:
    """given("MODEL", value): a node that stands for a loader of that kind, or of several."""
    assert all(map(host.load_core, CORE))

    def loader(kinds: str, *values: Any) -> dict[str, Any]:
        name = f"Load{next(NUMBERS)}"  # the host keeps nodes by name, another test's too
        made = type(
            name,
            (),
            {
                "RETURN_TYPES": tuple(kinds.split(",")),
                "FUNCTION": "load",
                "CATEGORY": "tests",
                "INPUT_TYPES": classmethod(lambda cls: {"required": {}}),
                "load": lambda self: values,
            },
        )
        monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, name, made)
        return node(name)

    return loader


@pytest.fixture
def words(given: Any) -> dict[str, Any]:
    """What a text encoder would give."""
    torch.manual_seed(1)
    return given("CONDITIONING", [[torch.randn(1, 4, 16), {}]])


def clip() -> dict[str, Any]:
    return {
        "video": node("LoadVideo", file="driving.mp4"),
        "frames": node("GetVideoComponents", video=["video", 0]),
        "field": node(
            "CM_FieldFromVideo", images=["frames", 0], reads="reference frame", reference_frame=0
        ),
    }


def sampling(noise: str) -> dict[str, Any]:
    return {
        "guider": node("BasicGuider", model=["model", 0], conditioning=["words", 0]),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
        "steps": node(
            "BasicScheduler", model=["model", 0], scheduler="simple", steps=2, denoise=1.0
        ),
        "sampled": node(
            "SamplerCustomAdvanced",
            noise=[noise, 0],
            guider=["guider", 0],
            sampler=["sampler", 0],
            sigmas=["steps", 0],
            latent_image=["latent", 0],
        ),
    }


def run(host: Any, wanted: str, nodes: dict[str, Any]) -> list[Any]:
    done = host.run(nodes | {"shown": node("PreviewAny", source=[wanted, 0])})
    assert done.success, done.error
    return done.values[wanted]


def test_warped_noise_is_what_a_sampler_starts_from(host, given, words):
    nodes = clip() | {
        "model": given("MODEL", tiny_model()),
        "words": words,
        "latent": node("EmptyLatentImage", width=96, height=64, batch_size=FRAMES),
        "warped": node("CM_WarpNoise", field=["field", 0], latent=["latent", 0], seed=5),
        "random": node("RandomNoise", noise_seed=5),
    }
    ours, _ = run(host, "sampled", nodes | sampling("warped"))
    theirs, _ = run(host, "sampled", nodes | sampling("random"))
    assert ours["samples"].shape == (FRAMES, 4, 8, 12) and ours["samples"].isfinite().all()
    assert_close(ours["samples"][0], theirs["samples"][0], atol=1e-3, rtol=1e-3)  # it does not move
    assert (ours["samples"][5] - theirs["samples"][5]).abs().mean() > 0.1
    added = node(
        "AddNoise",
        model=["model", 0],
        noise=["warped", 0],
        sigmas=["steps", 0],
        latent_image=["latent", 0],
    )
    (noisy,) = run(host, "added", nodes | sampling("warped") | {"added": added})
    assert noisy["samples"].std() > 1


def test_a_video_model_starts_from_warped_noise_and_keeps_what_is_seen(host, given, words):
    """5-D latents: noise along time, and a mask whose frames are the clip's."""
    nodes = clip() | {
        "model": given("MODEL", tiny_video_model()),
        "words": words,
        "source": given("LATENT", {"samples": torch.randn(1, 16, 1, 8, 12)}),
        "nine": node("ImageFromBatch", image=["frames", 0], batch_index=0, length=9),
        "motion": node(
            "CM_FieldFromVideo", images=["nine", 0], reads="reference frame", reference_frame=0
        ),
        "moved": node("CM_WarpLatent", field=["motion", 0], latent=["source", 0]),
        "hidden": node("CM_OcclusionMask", field=["motion", 0], width=0, height=0, grow=4),
        "latent": node("SetLatentNoiseMask", samples=["moved", 0], mask=["hidden", 0]),
        "warped": node("CM_WarpNoise", field=["motion", 0], latent=["latent", 0], seed=5),
        "random": node("RandomNoise", noise_seed=5),
    }
    (moved,), (hidden,) = run(host, "moved", nodes), run(host, "hidden", nodes)
    assert moved["samples"].shape == (1, 16, 3, 8, 12) and hidden.shape == (9, 64, 96)
    (noise, seen) = run(host, "warped", nodes)
    white = noise.generate_noise(moved)
    assert torch.equal(white, seen["samples"]) and white.shape == moved["samples"].shape
    drawn = run(host, "random", nodes)[0].generate_noise({"samples": torch.zeros(1, 16, 1, 8, 12)})
    assert_close(white[:, :, :1], drawn, atol=1e-5, rtol=0)  # the first frame does not move
    ours, theirs = (run(host, "sampled", nodes | sampling(n))[0] for n in ("warped", "random"))
    mask = nn.functional.interpolate(hidden[None, None], size=(3, 8, 12), mode="trilinear")
    mask = mask.expand(1, 16, -1, -1, -1)
    kept, anew = mask == 0, mask > 0.5
    assert kept[:, :, 2].any() and anew.any()
    assert_close(ours["samples"][kept], moved["samples"][kept], atol=1e-3, rtol=0)
    assert (ours["samples"] - moved["samples"])[anew].abs().mean() > 0.1
    assert (ours["samples"] - theirs["samples"])[anew].abs().mean() > 0.01


def test_only_what_is_hidden_is_painted_anew(host, given, words):
    """SetLatentNoiseMask and Differential Diffusion over frames that a warp made."""
    nodes = clip() | {
        "model0": given("MODEL", tiny_model()),
        "model": node("DifferentialDiffusion", model=["model0", 0]),
        "vae": given("VAE", PictureVAE()),
        "words": words,
        "first": node("ImageFromBatch", image=["frames", 0], batch_index=0, length=1),
        "warp": node("CM_WarpImage", field=["field", 0], image=["first", 0]),
        "hidden": node("CM_OcclusionMask", field=["field", 0], width=0, height=0, grow=4),
        "encoded": node("VAEEncode", pixels=["warp", 0], vae=["vae", 0]),
        "latent": node("SetLatentNoiseMask", samples=["encoded", 0], mask=["hidden", 0]),
        "noise": node("CM_WarpNoise", field=["field", 0], latent=["latent", 0], seed=2),
    }
    nodes |= sampling("noise")
    decoded = node("VAEDecode", samples=["sampled", 0], vae=["vae", 0])
    (images,) = run(host, "decoded", nodes | {"decoded": decoded})
    (hidden,), (warped,) = run(host, "hidden", nodes), run(host, "warp", nodes)
    kept = nn.functional.max_pool2d(hidden[:, None], 25, 1, 12)[:, 0] == 0
    kept = nn.functional.avg_pool2d(kept[:, None].float(), 8) == 1
    latents, started = (PictureVAE().encode(p) for p in (images, warped))
    kept = kept.expand_as(latents)
    assert kept[5].any() and not kept[5].all()
    assert_close(latents[kept], started[kept], atol=1e-3, rtol=0)
    assert (latents - started).abs().max() > 0.1
    grown = node(
        "VAEEncodeForInpaint",
        pixels=["warp", 0],
        vae=["vae", 0],
        mask=["hidden", 0],
        grow_mask_by=6,
    )
    (latent,) = run(host, "grown", nodes | {"grown": grown})
    assert latent["samples"].shape == (FRAMES, 4, 8, 12)
    assert set(latent["noise_mask"].unique().tolist()) == {0, 1}


def test_wan_takes_our_tracks(host, given, words, monkeypatch):
    nodes = clip() | {
        "vae": given("VAE", tiny_wan_vae(monkeypatch)),
        "words": words,
        "first": node("ImageFromBatch", image=["frames", 0], batch_index=0, length=1),
        "tracks": node(
            "CM_FieldToTracks", field=["field", 0], width=96, height=64, points="grid", count=12
        ),
        "wan": node(
            "WanTrackToVideo",
            positive=["words", 0],
            negative=["words", 0],
            vae=["vae", 0],
            tracks=["tracks", 1],
            width=96,
            height=64,
            length=9,
            batch_size=1,
            temperature=220.0,
            topk=2,
            start_image=["first", 0],
        ),
    }
    positive, _, latent = run(host, "wan", nodes)
    assert latent["samples"].shape == (1, 16, 3, 8, 12)
    told = positive[0][1]
    assert told["concat_latent_image"].shape == (1, 16, 3, 8, 12)
    assert told["concat_latent_image"].isfinite().all() and told["concat_mask"].isfinite().all()
    none = nodes | {"wan": node("WanTrackToVideo", **nodes["wan"]["inputs"] | {"tracks": "[]"})}
    untold = run(host, "wan", none)[0][0][1]
    assert not torch.equal(untold["concat_latent_image"], told["concat_latent_image"])


@pytest.fixture
def talking(host: Any) -> dict[str, Any]:
    """A drawn head that talks, 9 frames of it."""
    target = host.base / "input" / "talking.mp4"
    target.write_bytes((ROOT / "samples" / "driving.mp4").read_bytes())
    return {"talking": node("LoadVideo", file="talking.mp4")}


def test_wan_animate_takes_what_is_made_for_it(host, given, words, talking, monkeypatch):
    nodes = talking | {
        "vae": given("VAE", tiny_wan_vae(monkeypatch)),
        "words": words,
        "inputs": node(
            "CM_WanAnimateInputs",
            driving_images=["talking", 0],
            length=9,
            face_size=1.3,
            grow=4,
            blocks=16,
            background="clean plate",
            frame_count=3,
        ),
        "wan": node(
            "WanAnimateToVideo",
            positive=["words", 0],
            negative=["words", 0],
            vae=["vae", 0],
            width=64,
            height=64,
            length=["inputs", 4],
            batch_size=1,
            continue_motion_max_frames=5,
            video_frame_offset=0,
            face_video=["inputs", 0],
            character_mask=["inputs", 1],
            background_video=["inputs", 2],
        ),
    }
    faces, mask, plate, images, length = run(host, "inputs", nodes)
    assert length == 9 and len(faces) == len(mask) == len(plate) == len(images) == 9
    assert faces.shape[1:] == (512, 512, 3) and torch.equal(faces[2], faces[8])
    assert set(mask.unique().tolist()) == {0, 1} and 0.1 < mask.mean() < 0.95
    away = nn.functional.max_pool2d(mask[:, None], 61, 1, 30)[:, 0] == 0
    assert torch.equal(plate[away], images[away])
    positive, _, latent, *_ = run(host, "wan", nodes)
    assert positive[0][1]["face_video_pixels"].shape == (1, 3, 9, 512, 512)
    assert positive[0][1]["concat_mask"].isfinite().all() and latent["samples"].shape[2] == 4


def test_a_plate_is_made_of_a_clip_and_its_mask(host):
    nodes = clip() | {
        "mask": node("SolidMask", value=1.0, width=96, height=64),
        "plate": node("CM_CleanPlate", images=["frames", 0], mask=["mask", 0]),
    }
    done = host.run(nodes | {"shown": node("PreviewAny", source=["plate", 0])})
    assert not done.success and "mark all" in done.error
    nodes["mask"] = node("SolidMask", value=0.0, width=96, height=64)
    (plate,), (frames, *_) = run(host, "plate", nodes), run(host, "frames", nodes)
    assert torch.equal(plate, frames)


def test_a_cut_out_keeps_its_alpha_through_the_open_graph(host):
    """As through Animate Picture: the same frames, the same alpha."""
    from PIL import Image

    picture = Image.open(host.base / "input" / "source.png").convert("RGBA")
    picture.putalpha(Image.new("L", picture.size, 0))
    picture.paste(Image.open(host.base / "input" / "source.png"), (20, 30, 110, 150))
    picture.putpixel((0, 0), (255, 0, 0, 0))
    alpha = Image.new("L", picture.size, 0)
    alpha.paste(255, (20, 30, 70, 100))
    picture.putalpha(alpha)
    picture.save(host.base / "input" / "cut.png")
    nodes = clip() | {
        "model": node("CM_LoadModel", model_name="any subject (comes with the pack)"),
        "source": node("LoadImage", image="cut.png"),
        "encode": node(
            "CM_EncodeSource",
            model=["model", 0],
            source_image=["source", 0],
            source_alpha=["source", 1],
        ),
        "driver": node(
            "CM_ExtractKeypoints",
            model=["model", 0],
            images=["frames", 0],
            portrait=["encode", 0],
        ),
        "pose": node(
            "CM_RetargetKeypoints",
            driving_keypoints=["driver", 0],
            source_keypoints=["encode", 1],
            mode="relative",
            adapt_scale=True,
            strength=1.0,
            reference_frame=0,
        ),
        "motion": node(
            "CM_EstimateMotion",
            model=["model", 0],
            source_image=["source", 0],
            driving_keypoints=["pose", 0],
            portrait=["encode", 0],
        ),
        "made": node(
            "CM_Generate",
            model=["model", 0],
            source_image=["source", 0],
            field=["motion", 0],
            size="source",
            portrait=["encode", 0],
        ),
        "whole": node(
            "CM_Animate",
            model=["model", 0],
            source_image=["source", 0],
            driving_images=["frames", 0],
            mode="relative",
            adapt_scale=True,
            reference_frame=0,
            size="source",
            source_alpha=["source", 1],
        ),
    }
    images, _, alpha = run(host, "made", nodes)
    expected = run(host, "whole", nodes)
    assert_close(images, expected[0], atol=1e-5, rtol=0)
    assert_close(alpha, expected[5], atol=1e-5, rtol=0)
    assert 0.3 < alpha.mean() < 0.95 and alpha.std() > 0.1
    assert json.dumps(tuple(alpha.shape)) == json.dumps(tuple(images.shape[:3]))


@pytest.mark.parametrize("name", ["18", "19", "20"])
def test_a_template_of_diffusion_runs_with_models_of_its_kind(
    host, given, words, template, name, monkeypatch
):
    """As opened, but smaller, and with untrained models in place of the files it names."""
    (path,) = (ROOT / "workflows").glob(f"{name} *.json")
    prompt = template(path.stem)
    missing = {n["class_type"] for n in prompt.values() if ".safetensors" in str(n["inputs"])}
    model = tiny_model() if name != "20" else tiny_video_model()
    vae = PictureVAE() if name != "20" else tiny_wan_vae(monkeypatch)
    stands = {
        "CheckpointLoaderSimple": given("MODEL,CLIP,VAE", model, None, vae),
        "UNETLoader": given("MODEL", model),
        "VAELoader": given("VAE", vae),
        "CLIPLoader": given("CLIP", None),
        "CLIPTextEncode": words,
        "CLIPVisionLoader": given("CLIP_VISION", None),
        "CLIPVisionEncode": given("CLIP_VISION_OUTPUT", None),
    }
    assert missing and missing <= set(stands)
    small = {"frame_count": 9, "width": 64, "height": 64, "length": 9, "steps": 2}
    for node in prompt.values():
        node |= stands.get(node["class_type"], {})
        node["inputs"] |= {key: n for key, n in small.items() if key in node["inputs"]}
    done = host.run(prompt)
    assert done.success, done.error
    assert any("images" in shown for shown in done.shown.values())
