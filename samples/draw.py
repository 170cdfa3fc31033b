"""Draws the demo's still picture and its driving clip: `python samples/draw.py [--out DIR]`."""

from __future__ import annotations

import argparse
import math
import multiprocessing
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from paint import colour, paint
from PIL import Image
from puppet import EYES, GOLD, HAIR, SKIN, Character, Pose, mix, solids, step
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

HERE = Path(__file__).parent
FPS, FRAMES, RATE, CRF = 25, 100, 24000, "20"

IDA = Character(
    skin="#94604a", blush="#a0402c", lips="#a1433f", hair="#1d1110", sheen="#6b4433",
    iris="#8a5a2a",
    cloth=("#cf9236", "#f1d9a2", "#b8452f"), backdrop=("#2f6f6a", "#1f4d52", "#7fae94", "#e0b873"),
    style="knot", earrings=True, freckles=0.35, lashes=1.5, jaw=0.54, mouth=1.08, nose=0.97,
    eye=1.05, brow=0.9,
)  # fmt: skip
TOM = Character(
    skin="#d9a07d", blush="#d9735a", lips="#bf6258", hair="#7d2f10", sheen="#e08a3c",
    iris="#4f8fae",
    cloth=("#27486b", "#e9dfc8", "#b5523b"), backdrop=("#8d9bb0", "#6d7a96", "#b9b6bd", "#d9c5ae"),
    style="waves", fair_isle=True, wide=0.95, jaw=0.6, nose=1.18, eye=0.94, brow=1.25, ears=1.15,
    freckles=1.0, mouth=1.0,
)  # fmt: skip


# --- light
# --------------------------------------------------------------------------------------------------

# the camera's distance, its height, and half of what it sees at the head
EYE_Z, MIDDLE, SPAN = (
    9.0,
    -0.14,
    1.66,
)
NEAR, FAR = 7.2, 10.7  # where rays start and give up
CHUNK = 1 << 15  # rays at a time: what the processor's cache holds
KEY, RIM = (
    torch.nn.functional.normalize(torch.tensor(v), dim=0).tolist()
    for v in ((-0.55, 0.62, 0.72), (0.85, 0.35, -0.45))
)


def rays(size: int) -> Tensor:
    """Unit directions through the pixels' centres, rows from the top. 3 H W"""
    line = ((torch.arange(size) + 0.5) / size * 2 - 1) * SPAN / EYE_Z
    x, y = torch.meshgrid(line, -line, indexing="xy")
    d = torch.stack([x, y, -torch.ones_like(x)])
    return d / d.norm(dim=0)


def along(rays: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return rays[0] * t, rays[1] * t + MIDDLE, rays[2] * t + EYE_Z


def march(view: Tensor, t: Tensor, steps: int, distance) -> Tensor:
    """Walk each ray from t to the first surface. Its length, FAR where there is none. N"""
    reached = torch.full_like(t, FAR)
    going = torch.arange(len(t))
    for _ in range(steps):
        d = distance(along(view, t))
        t = t + 0.85 * d
        # what only grazes and never arrives stays far
        reached[going] = torch.where((d < 0.03) & (t < FAR), t, FAR)
        on = (d > 0.002) & (t < FAR)
        if not on.any():
            break
        if on.float().mean() < 0.8:
            going, view, t = going[on], view[:, on], t[on]
    return reached


def depth(size: int, who: Character, pose: Pose) -> Tensor:
    """Length of every ray, found first on a coarse grid, for a body swollen beyond its finest
    relief. H W
    """
    coarse, swell = size // 4, 0.11
    start = torch.full((coarse * coarse,), NEAR)
    start = march(
        rays(coarse).flatten(1),
        start,
        60,
        lambda p: solids(p, who, pose, fine=False).amin(dim=0) - swell,
    )
    start = -max_pool2d(-start.view(1, 1, coarse, coarse), 3, 1, 1)
    start = interpolate(start, (size, size)).flatten()
    t, view = torch.full((size * size,), FAR), rays(size).flatten(1)
    for part in (start < FAR).nonzero()[:, 0].split(CHUNK):
        t[part] = march(
            view[:, part], start[part] - 0.01, 70, lambda p: solids(p, who, pose).amin(dim=0)
        )
    return t.view(size, size)


def normal(p, who: Character, pose: Pose) -> Tensor:
    """By differences on a tetrahedron. 3 N"""
    total = 0
    for corner in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        d = solids(tuple(a + 0.003 * c for a, c in zip(p, corner, strict=True)), who, pose).amin(
            dim=0
        )
        total = total + torch.tensor(corner)[:, None] * d
    return total / total.norm(dim=0).clamp(min=1e-6)


def shadow(p, n: Tensor, who: Character, pose: Pose) -> Tensor:
    """How much of the soft key light arrives. 0..1"""
    lit, t = torch.ones_like(p[0]), torch.full_like(p[0], 0.05)
    for _ in range(11):
        q = tuple(a + 0.03 * b + k * t for a, b, k in zip(p, n, KEY, strict=True))
        d = solids(q, who, pose, False).amin(dim=0)
        lit = torch.minimum(lit, 0.5 + 0.5 * d * 7 / t)
        t = t + d.clamp(0.04, 0.3)
    return step(0, 1, lit)


def openness(p, n: Tensor, who: Character, pose: Pose) -> Tensor:
    """How much of the sky a point sees. 0..1"""
    hidden = 0
    for reach in (0.05, 0.14, 0.32):
        d = solids(tuple(a + reach * b for a, b in zip(p, n, strict=True)), who, pose, False).amin(
            dim=0
        )
        hidden = hidden + (reach - d).clamp(min=0) / reach
    return (1 - 0.36 * hidden).clamp(0, 1)


def dot(a, b) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def tint(red: float, green: float, blue: float) -> Tensor:
    return torch.tensor([[red], [green], [blue]])


def diffuse(n: Tensor, lit: Tensor, sky: Tensor, skin: Tensor) -> Tensor:
    """A warm key, a cool sky and a warm bounce from below.

    Light bleeds through skin, red most. 3 N
    """
    soft = skin * tint(0.34, 0.15, 0.1)
    key = ((dot(n, KEY) + soft) / (1 + soft)).clamp(min=0) * mix(
        lit, torch.ones_like(lit), soft * 0.35
    )
    above = sky * (0.5 + 0.5 * n[1]) * tint(0.50, 0.58, 0.72)
    below = sky * (0.5 - 0.5 * n[1]) * tint(0.36, 0.25, 0.19)
    return key * tint(2.0, 1.82, 1.58) + above + below


def shade(view: Tensor, t: Tensor, who: Character, pose: Pose) -> Tensor:
    """Linear colour of what the rays hit, with a rim of light from behind. 3 N"""
    p = along(view, t)
    material = solids(p, who, pose).argmin(dim=0)
    albedo, gloss = paint(p, material, who, pose)
    n = normal(p, who, pose)
    lit, sky = shadow(p, n, who, pose), openness(p, n, who, pose)
    edge = (1 + dot(n, view).clamp(-1, 0)) ** 3
    rim = dot(n, RIM).clamp(min=0) * (0.25 + edge) * sky * tint(1.0, 0.95, 1.0)
    half = torch.tensor(KEY)[:, None] - view
    shine = (dot(n, half) / half.norm(dim=0)).clamp(min=0)
    hot = (
        gloss
        * lit
        * (0.09 * shine**10 + 0.22 * gloss * shine**50)
        * torch.where(material == GOLD, albedo * 6, 1.0)
    )
    glint = torch.where(material == EYES, 2.0, 0.0) * step(0.985, 0.993, shine)
    down = torch.where(material == HAIR, 0.15, 0.0) * edge * sky
    return (
        albedo * (diffuse(n, lit, sky, material == SKIN) + 2.4 * rim + down)
        + hot
        + 0.1 * rim
        + glint
    )


# --- picture
# --------------------------------------------------------------------------------------------------


@cache
def backdrop(size: int, who: Character, seed: int) -> Tensor:
    """A wall in loose brush strokes, lighter behind one shoulder, on canvas. 3 H W, sRGB"""
    rng = np.random.default_rng(seed)
    paints = torch.cat([colour(c) for c in who.backdrop], dim=1).T.numpy() ** (1 / 2.2)
    work = 960
    wall = np.full((work, work, 3), paints[0], np.float32)
    for length in (150, 90, 45):
        for _ in range(60000 // length):
            x, y = rng.uniform(-30, work + 30, 2)
            glow = math.exp(-((x - work * 0.3) ** 2 + (y - work * 0.35) ** 2) / (0.45 * work) ** 2)
            tone = mix(
                mix(paints[0], paints[1], min(1, y / work + 0.2 - 0.6 * glow)),
                dab(paints, glow, rng),
                0.35,
            )
            tone = tone + rng.normal(0, 0.012, 3)
            angle = 35 * math.sin(x / 170) + 30 * math.cos(y / 210) - 40 + rng.normal(0, 14)
            stroke(wall, (x, y), length * rng.uniform(0.6, 1), angle, tone)
    weave = cv2.GaussianBlur(rng.normal(0, 1, (work, work)).astype(np.float32), (0, 0), 1.1) * 2.2
    wall = np.clip(wall * (1 + 0.035 * weave[..., None]), 0, 1)
    return torch.from_numpy(cv2.resize(wall, (size, size), interpolation=cv2.INTER_AREA)).permute(
        2, 0, 1
    )


def dab(paints: np.ndarray, glow: float, rng: np.random.Generator) -> np.ndarray:
    return paints[
        rng.choice(4, p=np.array([0.4, 0.42 - 0.34 * glow, 0.15 + 0.2 * glow, 0.03 + 0.14 * glow]))
    ]


def stroke(
    wall: np.ndarray, at: tuple[float, float], length: float, angle: float, tone: np.ndarray
) -> None:
    """Five bristles side by side, each with its own end and its own shade."""
    direction = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    across = np.array([-direction[1], direction[0]])
    for i, bristle in enumerate(np.linspace(-0.1, 0.1, 5)):
        middle = np.array(at) + across * bristle * length
        a, b = (
            middle - direction * length / 2,
            middle + direction * length * (0.5 + 0.06 * ((i * 7) % 5 - 2)),
        )
        shade = tone * (1 + 0.025 * ((i * 3) % 5 - 2))
        ends = [tuple(int(8 * v) for v in end) for end in (a, b)]
        cv2.line(wall, *ends, shade.tolist(), max(1, int(length * 0.055)), cv2.LINE_AA, 3)


def film(light: Tensor) -> Tensor:
    """Linear light to sRGB, with a shoulder that keeps highlights from burning out."""
    light = light * 0.8
    return (light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)).clamp(0, 1) ** (
        1 / 2.2
    )


def picture(who: Character, pose: Pose, size: int, fineness: float, seed: int) -> np.ndarray:
    """The character before its wall, drawn `fineness` times larger and reduced. H W 3, uint8"""
    large = int(size * fineness)
    t, view = depth(large, who, pose).flatten(), rays(large).flatten(1)
    image = backdrop(large, who, seed).flatten(1).clone()
    for part in (t < FAR).nonzero()[:, 0].split(CHUNK):
        image[:, part] = film(shade(view[:, part], t[part], who, pose))
    image = image.view(3, large, large).permute(1, 2, 0).numpy()
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


# --- performance
# --------------------------------------------------------------------------------------------------

# seconds: value, eased in between; every track starts and ends at rest
TRACKS = {
    "yaw": {0.2: 0, 0.95: 0.2, 1.3: 0.17, 2.15: -0.2, 2.55: -0.17, 3.25: 0.03, 3.7: 0},
    "pitch": {0.3: 0, 0.8: -0.05, 1.6: 0.03, 2.5: 0.0, 2.75: 0.1, 3.0: -0.04, 3.25: 0.06, 3.6: 0},
    "roll": {0.3: 0, 1.0: 0.05, 2.2: -0.06, 3.1: 0.03, 3.7: 0},
    "gaze": {0.1: 0, 0.35: 0.2, 1.1: 0.05, 1.4: -0.05, 1.7: -0.22, 2.4: -0.05, 2.8: 0.08, 3.3: 0},
    "blink": {0.30: 0, 0.38: 1, 0.42: 1, 0.58: 0, 1.52: 0, 1.60: 1, 1.66: 1, 1.82: 0, 3.2: 0,
        3.3: 1, 3.34: 1, 3.52: 0},
    "brow": {0.6: 0, 0.85: 1, 1.2: 0.85, 1.5: 0, 2.35: 0, 2.6: 0.8, 2.9: 0.5, 3.3: 0},
    "open": {
        0.40: 0, 0.54: 0.75, 0.68: 0.25, 0.80: 0.0, 0.92: 0.9, 1.08: 0.3, 1.20: 0.55, 1.36: 0.0,
        1.44: 0.0, 1.60: 0.5, 1.74: 0.15,
        1.90: 0.8, 2.06: 0.0, 2.30: 0, 2.44: 0.6, 2.58: 0.2, 2.74: 0.85, 2.92: 0.25, 3.04: 0.4,
        3.22: 0.06, 3.6: 0,
    },
    "wide": {0.4: 0, 0.56: 0.3, 0.70: 0.9, 0.84: -0.1, 1.0: 0.1, 1.2: -1.0, 1.38: -0.6, 1.56: 0.7,
        1.74: 0.9, 1.92: -0.7, 2.1: 0.0,
             2.42: 0.8, 2.6: -0.9, 2.78: 0.2, 3.02: 0.7, 3.2: 0.2, 3.5: 0},
    "smile": {0.5: 0, 1.0: 0.3, 1.5: 0.1, 2.7: 0.2, 3.15: 0.9, 3.35: 0.9, 3.85: 0},
}  # fmt: skip


def track(name: str, seconds: float) -> float:
    times, values = zip(*TRACKS[name].items(), strict=True)
    after = int(np.searchsorted(times, seconds))
    if after in (0, len(times)):
        return 0.0
    t = (seconds - times[after - 1]) / (times[after] - times[after - 1])
    return mix(values[after - 1], values[after], float(step(0, 1, torch.tensor(t))))


def pose_at(seconds: float) -> Pose:
    return Pose(**{name: track(name, seconds) for name in TRACKS})


def voice() -> np.ndarray:
    """A hummed tone whose vowels are the mouth's: louder when open, brighter when wide. One second
    is RATE samples.
    """
    t = np.arange(FRAMES * RATE // FPS) / RATE
    opening, width, brow = (
        np.interp(t, t[::240], [track(n, s) for s in t[::240]]) for n in ("open", "wide", "brow")
    )
    phase = 2 * np.pi * np.cumsum(170 + 25 * brow + 6 * np.sin(2 * np.pi * 5 * t)) / RATE
    sound = np.zeros_like(t)
    for k in range(1, 16):
        first, second = 320 + 480 * opening, 1350 + 650 * width
        sound += (
            np.exp(-(((k * 170 - first) / 180) ** 2))
            + 0.4 * np.exp(-(((k * 170 - second) / 260) ** 2))
        ) * np.sin(k * phase)
    return (0.12 * np.sqrt(opening) * sound).astype(np.float32)


# --- files
# --------------------------------------------------------------------------------------------------


def still(size: int = 960, fineness: float = 2) -> np.ndarray:
    return picture(IDA, Pose(), size, fineness, seed=3)


def frame(index: int, size: int = 512, fineness: float = 1.5) -> np.ndarray:
    return picture(TOM, pose_at(index / FPS), size, fineness, seed=8)


def write_clip(path: Path, frames) -> None:
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        picture_stream = file.add_stream(
            "libx264", rate=FPS, options={"crf": CRF, "preset": "veryslow"}
        )
        picture_stream.width = picture_stream.height = 512
        picture_stream.pix_fmt = "yuv420p"
        sound_stream = file.add_stream("aac", rate=RATE, layout="mono", bit_rate=48000)
        for image in frames:
            file.mux(picture_stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(picture_stream.encode())
        sound = av.AudioFrame.from_ndarray(voice()[None], "fltp", "mono")
        sound.sample_rate, sound.time_base, sound.pts = RATE, Fraction(1, RATE), 0
        file.mux(sound_stream.encode(sound))
        file.mux(sound_stream.encode())


def one_thread() -> None:
    # a frame a process is faster than many threads a frame, and no sum depends on their number
    torch.set_num_threads(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE,
        help="where source.png and driving.mp4 go (default: beside this script)",
    )
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    one_thread()
    with multiprocessing.get_context("spawn").Pool(initializer=one_thread) as pool:
        portrait = pool.apply_async(still)
        write_clip(out / "driving.mp4", pool.imap(frame, range(FRAMES)))
        Image.fromarray(portrait.get()).save(out / "source.png", optimize=True)


if __name__ == "__main__":
    main()
