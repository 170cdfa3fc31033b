"""The demo's picture and clip are what samples/draw.py draws."""

import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="module")
def draw():
    """The script as a module; its neighbours are imported from beside it."""
    sys.path.insert(0, str(SAMPLES))
    try:
        import draw
    finally:
        sys.path.remove(str(SAMPLES))
    return draw


@pytest.fixture(scope="module")
def clip():
    with av.open(str(SAMPLES / "driving.mp4")) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def small(picture: np.ndarray, size: int = 96) -> np.ndarray:
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def assert_looks_like(drawn: np.ndarray, kept: np.ndarray) -> None:
    """Drawn small with few samples, the two differ in fine texture alone; half a second of the clip
    apart, they agree to 0.9.
    """
    a, b = small(drawn, 48), small(kept, 48)
    assert np.abs(a - b).mean() < 0.02
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.985


def test_the_still_is_what_the_script_draws(draw):
    with Image.open(SAMPLES / "source.png") as kept:
        assert_looks_like(draw.still(size=128, fineness=1), np.asarray(kept))


@pytest.mark.parametrize("index", [0, 23])
def test_a_frame_of_the_clip_is_what_the_script_draws(draw, clip, index):
    assert_looks_like(draw.frame(index, size=128, fineness=1), clip[index])


def test_the_performance_starts_and_ends_at_rest(draw):
    assert draw.pose_at(0) == draw.pose_at(draw.FRAMES / draw.FPS) == draw.Pose()


def test_the_still_is_square_and_light_to_carry():
    with Image.open(SAMPLES / "source.png") as picture:
        assert (picture.size, picture.mode) == ((960, 960), "RGB")
    assert (SAMPLES / "source.png").stat().st_size < 1_500_000


def test_the_clip_has_its_frames_rate_and_size(clip):
    with av.open(str(SAMPLES / "driving.mp4")) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == (
            "h264",
            "yuv420p",
            25,
        )
    assert [frame.shape for frame in clip] == [(512, 512, 3)] * 100
    assert (SAMPLES / "driving.mp4").stat().st_size < 600_000


def test_the_voice_lasts_as_long_as_the_clip_and_is_soft(draw):
    with av.open(str(SAMPLES / "driving.mp4")) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
        rate = file.streams.audio[0].rate
    assert abs(len(sound) / rate - draw.FRAMES / draw.FPS) < 0.1
    assert 0.02 < np.abs(sound).max() < 0.5


def test_the_background_is_still_and_the_face_is_not(clip):
    movement = np.abs(small(clip[0]) - small(clip[23])).mean(axis=2)
    assert movement[:40, :16].max() < 0.03
    assert movement[30:70, 30:66].mean() > 0.05


def test_the_driver_has_texture_that_optical_flow_can_follow(clip):
    face = cv2.cvtColor(clip[0][150:400, 150:370], cv2.COLOR_RGB2GRAY)
    wall = cv2.cvtColor(clip[0][20:300, 10:110], cv2.COLOR_RGB2GRAY)
    for patch in (face, wall):
        assert np.median(np.abs(cv2.Laplacian(patch, cv2.CV_32F))) >= 1


def test_both_faces_are_in_the_same_place(draw):
    """By the eyeballs' visible pixels."""

    def eyes(who):
        size, pose = 96, draw.Pose()
        length, view = draw.depth(size, who, pose).flatten(), draw.rays(size).flatten(1)
        material = draw.solids(draw.along(view, length), who, pose).argmin(dim=0)
        where = (
            ((material == draw.EYES) & (length < draw.FAR))
            .view(size, size)
            .nonzero()
            .to(torch.float32)
        )
        return where.mean(dim=0) / size

    assert torch.allclose(eyes(draw.IDA), eyes(draw.TOM), atol=0.02)
