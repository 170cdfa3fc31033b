"""Draws the pack's icon and banner for the registry, of the demo's picture and clip:
`python samples/banner.py`. The picture at rest and in motion, and the clip it moves by.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

import comfyui_motion as motion

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
REST, SPEAKING = 0, 46  # frames of the clip
ICON, BANNER = 400, (1260, 540)  # pixels; the registry asks for a square and for 21:9
INK, PAPER = (255, 255, 255), (24, 44, 48)


def main() -> None:
    source, speaking, made = pictures()
    icon(source, made).save(DOCS / "icon.png", optimize=True)
    banner(source, speaking, made).save(DOCS / "banner.jpg", quality=85, optimize=True)


def pictures() -> list[Image.Image]:
    """The still, a syllable of the clip, and the still in that syllable."""
    source = motion.read_picture(HERE / "source.png")
    clip = torch.cat(list(motion.read_video(HERE / "driving.mp4")))[[REST, SPEAKING]]
    made = torch.cat(list(motion.animate(motion.load(), source, clip, size="source")))
    shown = [source[0], clip[1], made[1]]
    return [Image.fromarray((p * 255).byte().movedim(0, -1).numpy()) for p in shown]


def icon(source: Image.Image, made: Image.Image) -> Image.Image:
    """One face, at rest and in motion, on either side of the slider."""
    side = source.width
    box = (side * 0.2, side * 0.16, side * 0.8, side * 0.76)
    rest, moving = (p.resize((ICON, ICON), Image.Resampling.LANCZOS, box) for p in (source, made))
    rest.paste(moving.crop((ICON // 2, 0, ICON, ICON)), (ICON // 2, 0))
    pen = ImageDraw.Draw(rest)
    middle = ICON // 2
    pen.rectangle((middle - 3, 0, middle + 2, ICON), fill=INK)
    pen.ellipse((middle - 26, ICON - 78, middle + 26, ICON - 26), fill=INK)
    for way in (-1, 1):
        tip = middle + way * 18
        back = middle + way * 6
        corners = [(tip, ICON - 52), (back, ICON - 62), (back, ICON - 42)]
        pen.polygon(corners, fill=PAPER)
    mask = Image.new("L", (ICON, ICON), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, ICON - 1, ICON - 1), ICON // 6, fill=255)
    rest.putalpha(mask)
    return rest


def banner(source: Image.Image, speaking: Image.Image, made: Image.Image) -> Image.Image:
    """A still and a clip, and what becomes of them."""
    width, height = BANNER
    whole = Image.new("RGB", BANNER, PAPER)
    pen = ImageDraw.Draw(whole)
    side, top = 360, 130
    gap = (width - 3 * side) // 4
    for number, (picture, words) in enumerate(
        [(source, "a picture"), (speaking, "a clip"), (made, "the picture moves")]
    ):
        left = gap + number * (side + gap)
        whole.paste(picture.resize((side, side), Image.Resampling.LANCZOS), (left, top))
        font = ImageFont.load_default(24)
        pen.text((left + side // 2, top + side + 24), words, INK, font, anchor="mm")
    for number, sign in enumerate("+="):
        at = gap + (number + 1) * (side + gap) - gap // 2
        pen.text((at, top + side // 2), sign, INK, ImageFont.load_default(54), anchor="mm")
    title = ImageFont.load_default(48)
    pen.text((width // 2, 66), "Motion Transfer", INK, title, anchor="mm")
    return whole


if __name__ == "__main__":
    main()
