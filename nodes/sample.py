"""Something to try: the pack's own picture and clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..comfyui_motion import InputError, read_picture
from . import host
from .convert import to_images
from .host import io

FOLDER = Path(__file__).parents[1] / "samples"
PICTURES, CLIPS = {".png", ".jpg"}, {".mp4"}
NOT_SOURCES = {"sheet"}


def samples(kinds: set[str]) -> list[str]:
    """Names of the pack's own files of these kinds."""
    found = sorted(path for path in FOLDER.glob("*") if path.suffix in kinds)
    return [path.name for path in found if path.stem not in NOT_SOURCES]


class SampleMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        pictures, clips = samples(PICTURES), samples(CLIPS)
        return host.schema(
            node_id="CM_SampleMotion",
            display_name="Sample Talking Clip and Picture",
            category="motion",
            description=(
                "A picture and a clip that come with the pack, to try motion transfer with at once."
                " Put Load Image and Load Video in its place for your own."
            ),
            search_aliases=["example", "demo", "test image", "test video", "sample"],
            inputs=[
                io.Combo.Input(
                    "picture",
                    options=pictures,
                    default="source.png" if "source.png" in pictures else None,
                    tooltip="The still picture.",
                ),
                io.Combo.Input(
                    "clip",
                    options=clips,
                    default="driving.mp4" if "driving.mp4" in clips else None,
                    tooltip="The clip whose motion is to be taken over.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="picture", tooltip="The still picture."),
                io.Video.Output(
                    display_name="clip", tooltip="The clip, with its sound and frame rate."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, picture: Any = None, clip: Any = None) -> bool | str:
        missing = [name for name in (picture, clip) if name and name not in listed()]
        return f"{missing[0]} is none of the pack's samples." if missing else True

    @classmethod
    def execute(cls, picture: str, clip: str) -> io.NodeOutput:
        return io.NodeOutput(
            to_images(read_picture(sample_path(picture))), host.film_of(str(sample_path(clip)))
        )


def listed() -> list[str]:
    return samples(PICTURES | CLIPS)


def sample_path(name: str) -> Path:
    """Where a sample lies. Raises InputError for any other name."""
    if name not in listed():
        raise InputError(f"{name} is none of the pack's samples: {', '.join(listed())}.")
    return FOLDER / name


def show(asked: dict[str, Any]) -> tuple[bytes, str]:
    """A sample's bytes, for the page to show before anything has run."""
    path = sample_path(str(asked.get("name", "")))
    kinds = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4"}
    return path.read_bytes(), kinds[path.suffix]


host.add_route("GET", "sample", show)
NODES = [SampleMotion]
