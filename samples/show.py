"""Draws the README's pictures of what the default makes of the demo's picture and clip:
`python samples/show.py`. The clip beside its result (`moving.webp`), the contact sheet
(`sheet.jpg`), and every dial of Pose Face at its ends (`docs/dials.jpg`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

import comfyui_motion as motion
from comfyui_motion.cli import main as run

HERE = Path(__file__).parent
SIDE = 300  # pixels of a picture in moving.webp
EVERY, LASTS = 2, 80  # nth frame, milliseconds each
CELL, WORDS = 232, 22  # pixels of a picture in dials.jpg, and of the line below
BOX = (0.14, 0.04, 0.86, 0.76)  # of the picture: the face
TURN = 25  # degrees
ENDS = {
    "yaw": (-TURN, TURN),
    "pitch": (-15, 15),
    "roll": (-20, 20),
    "blink": (0.5, 1),
    "wink_left": (0.5, 1),
    "wink_right": (0.5, 1),
    "brows": (-1, 1),
    "gaze_x": (-1, 1),
    "gaze_y": (-1, 1),
    "mouth_open": (0.5, 1),
    "mouth_wide": (-1, 1),
    "pucker": (0.5, 1),
    "smile": (-1, 1),
}


def main() -> None:
    moving()
    dials().save(HERE.parent / "docs" / "dials.jpg", quality=88, optimize=True)


def moving() -> None:
    """The clip beside the picture moved by it, and the contact sheet of the same run."""
    with tempfile.TemporaryDirectory() as folder:
        film, sheet = Path(folder) / "made.mp4", Path(folder) / "sheet.png"
        given = [str(HERE / "source.png"), str(HERE / "driving.mp4")]
        if run(["animate", *given, "-o", str(film), "--preview", str(sheet)]):
            raise SystemExit("The demo's clip could not be made.")
        Image.open(sheet).save(HERE / "sheet.jpg", quality=88, optimize=True)
        clips = [torch.cat(list(motion.read_video(path))) for path in (given[1], film)]
    pairs = zip(*(clip[::EVERY] for clip in clips), strict=True)
    first, *rest = (beside([small(frame) for frame in pair]) for pair in pairs)
    first.save(
        HERE / "moving.webp",
        save_all=True,
        append_images=rest,
        duration=LASTS,
        loop=0,
        quality=72,
        method=4,
    )


def small(frame: torch.Tensor) -> Image.Image:
    return picture(frame).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def beside(pictures: list[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (SIDE * len(pictures), SIDE))
    for number, one in enumerate(pictures):
        whole.paste(one, (number * SIDE, 0))
    return whole


def dials() -> Image.Image:
    """Each dial at its two ends, and the picture as it is."""
    model = motion.load()
    portrait = model.encode(motion.read_picture(HERE / "source.png"))
    settings = [("as it is", {})]
    settings += [(name, {name: value}) for name, ends in ENDS.items() for value in ends]
    across = 7
    down = -(-len(settings) // across)
    whole = Image.new("RGB", (across * CELL, down * (CELL + WORDS)), "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(14)
    for number, (name, values) in enumerate(settings):
        keypoints = motion.pose(portrait, **arguments(values))
        frame = model.generate(portrait, model.motion(portrait, keypoints))[0]
        x, y = number % across * CELL, number // across * (CELL + WORDS)
        whole.paste(face(picture(frame)), (x, y))
        words = " ".join([name, *(f"{value:g}" for value in values.values())])
        pen.text((x + CELL // 2, y + CELL + WORDS // 2), words, "black", font, anchor="mm")
    return whole


def arguments(values: dict[str, float]) -> dict[str, object]:
    """As `motion.pose` takes them: the gaze is one pair."""
    gaze = values.get("gaze_x", 0.0), values.get("gaze_y", 0.0)
    return {n: v for n, v in values.items() if not n.startswith("gaze")} | {"gaze": gaze}


def face(whole: Image.Image) -> Image.Image:
    box = tuple(part * whole.width for part in BOX)
    return whole.resize((CELL, CELL), Image.Resampling.LANCZOS, box)


def picture(frame: torch.Tensor) -> Image.Image:
    """3 H W in 0..1"""
    return Image.fromarray((frame.clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy())


if __name__ == "__main__":
    main()
