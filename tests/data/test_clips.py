"""Clips: the layouts people have, batches that depend on seed and step alone, files that cannot be
read.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import comfyui_motion as motion
from comfyui_motion.data.clips import Augment, Clips, read_pair_list

SIDE, FRAMES = 16, 5


def frames(tone: int, count: int = FRAMES) -> torch.Tensor:
    """Frame i is of one colour: red says which video, green which frame. N 3 H W in 0..1"""
    pictures = torch.zeros(count, 3, SIDE, SIDE)
    pictures[:, 0] = tone / 255
    pictures[:, 1] = (torch.arange(count) * 10 / 255)[:, None, None]
    return pictures


def image(pictures: torch.Tensor) -> Image.Image:
    """Side by side."""
    strip = torch.cat(list(pictures), dim=2)
    return Image.fromarray((strip * 255).round().byte().permute(1, 2, 0).numpy())


def write(path: Path, tone: int, count: int = FRAMES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = frames(tone, count)
    if path.suffix == "":
        path.mkdir()
        for i, picture in enumerate(pictures):
            image(picture[None]).save(path / f"frame{i}.png")
    elif path.suffix == ".gif":
        first, *others = (
            image(picture[None]).convert("P", palette=Image.Palette.ADAPTIVE)
            for picture in pictures
        )
        first.save(path, save_all=True, append_images=others, duration=40, loop=0)
    elif path.suffix in (".mp4", ".mov"):
        motion.write_video(path, pictures, 25, crf=1)
    else:
        image(pictures).save(path)


@pytest.mark.parametrize("name", ["strip.png", "frames", "animated.gif", "film.mp4", "film.mov"])
def test_every_layout_gives_its_frames_in_order(name, tmp_path):
    write(tmp_path / "train" / name, 200, count=12)  # more than nine: frame10 comes after frame2
    video = Clips(tmp_path).video(0)
    assert video.shape == (12, 3, SIDE, SIDE)
    assert torch.allclose(video, frames(200, 12), atol=0.06 if name.startswith("film") else 0.002)


@pytest.mark.parametrize("name", ["strip.png", "frames", "animated.gif", "film.mp4"])
def test_pairs_are_two_frames_of_one_video(name, tmp_path):
    write(tmp_path / name, 200)
    pairs = Clips(tmp_path).batch(0, 4)
    assert pairs.source.shape == pairs.driving.shape == (4, 3, SIDE, SIDE) and pairs.truth is None
    number = [(frame[:, 1].mean((1, 2)) * 25.5).round() for frame in (pairs.source, pairs.driving)]
    assert all(a != b for a, b in zip(*number, strict=True))


@pytest.fixture
def several(tmp_path):
    for i in range(6):
        write(tmp_path / "train" / f"id{i // 2}#{i}.png", 100 + 10 * i)
    write(tmp_path / "test" / "other.png", 50)
    (tmp_path / "train" / "readme.txt").write_text("not a video")
    return tmp_path


def reds(pairs) -> list[int]:
    return (pairs.source[:, 0].mean((1, 2)) * 255).round().int().tolist()


def test_a_batch_depends_on_seed_and_step_alone(several):
    one, other = Clips(several, augment=Augment()), Clips(several, augment=Augment())
    other.batch(3, 4)
    assert torch.equal(one.batch(7, 4).source, other.batch(7, 4).source) and torch.equal(
        one.batch(7, 4).driving, other.batch(7, 4).driving
    )
    assert not torch.equal(one.batch(7, 4).source, one.batch(8, 4).source)
    assert not torch.equal(
        one.batch(7, 4).source, Clips(several, seed=1, augment=Augment()).batch(7, 4).source
    )


def test_an_epoch_has_every_video_as_often_as_asked(several):
    clips = Clips(several, repeats=2)
    assert len(clips) == 6 and clips.epoch == 12
    assert sorted(reds(clips.batch(0, 12))) == sorted([100 + 10 * i for i in range(6)] * 2)
    assert reds(clips.batch(0, 12)) != reds(clips.batch(1, 12))


def test_an_identity_comes_as_often_as_any_other(several):
    write(several / "train" / "id0#more.png", 250)
    clips = Clips(several, id_sampling=True)
    assert clips.epoch == 3
    seen = reds(clips.batch(0, 30))
    assert sum(tone in (100, 110, 250) for tone in seen) == 10
    assert {100, 110, 250} <= set(seen)


def test_splits_and_what_is_held_out(several):
    assert Clips(several, "test").names == ["other.png"]
    clips = Clips(several, hold_out=2, augment=Augment())
    assert clips.names == [f"id{i // 2}#{i}.png" for i in range(4)]
    assert clips.held_out().names == ["id2#4.png", "id2#5.png"]
    assert set(reds(clips.held_out().batch(0, 8))) == {140, 150}
    with pytest.raises(motion.InputError, match="has no validation/"):
        Clips(several, "validation")
    with pytest.raises(motion.InputError, match="leaves something"):
        Clips(several, hold_out=6)


def test_damaged_files_are_left_out_and_told(several):
    train = several / "train"
    for name in ("cut.png", "cut2.png"):
        noise = torch.rand(8, 3, SIDE, SIDE)
        image(noise).save(train / name)
        (train / name).write_bytes((train / name).read_bytes()[:-1200])
    (train / "empty.gif").touch()
    (train / "text.png").write_text("not a picture")
    write(train / "still", 20, count=1)
    Image.new("RGB", (40, SIDE)).save(train / "uneven.png")
    clips = Clips(several)
    assert {Path(name).name for name in clips.skipped} == {
        "empty.gif",
        "text.png",
        "still",
        "uneven.png",
    }
    assert len(clips) == 8
    seen = [tone for step in range(4) for tone in reds(clips.batch(step, 8))]
    assert set(seen) == {100 + 10 * i for i in range(6)} and len(seen) == 32
    assert len(clips.skipped) == 6 and "damaged" in clips.skipped[str(train / "cut.png")]
    fresh = Clips(several)
    # what was met before does not matter
    assert torch.equal(fresh.batch(3, 8).source, clips.batch(3, 8).source)


def test_a_folder_of_nothing_says_what_was_looked_for(tmp_path):
    with pytest.raises(
        motion.InputError,
        match="holds no video that can be read: looked for folders of frames, strips",
    ):
        Clips(tmp_path)
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(motion.InputError, match="1 left out, the first text.png"):
        Clips(tmp_path)
    with pytest.raises(motion.InputError, match="is no folder"):
        Clips(tmp_path / "elsewhere")
    image(torch.rand(8, 3, SIDE, SIDE)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-1200])
    with pytest.raises(motion.InputError, match="no video of .* can be read"):
        Clips(tmp_path).batch(0, 1)


def test_frames_come_to_the_size_asked_for(several):
    assert Clips(several, size=8).batch(0, 2).source.shape == (2, 3, 8, 8)
    wide = torch.zeros(4, 3, 20, 20)
    image(wide).save(several / "train" / "larger.png")
    with pytest.raises(motion.InputError, match="several sizes; give the size"):
        Clips(several).batch(0, 7)


def test_transparent_strips_lie_on_white(tmp_path):
    strip = Image.new("RGBA", (2 * SIDE, SIDE), (255, 0, 0, 0))
    strip.save(tmp_path / "clear.png")
    assert torch.equal(Clips(tmp_path).video(0), torch.ones(2, 3, SIDE, SIDE))


def test_both_frames_change_alike(tmp_path):
    strip = torch.rand(1, 3, SIDE, SIDE).expand(2, -1, -1, -1)
    image(strip).save(tmp_path / "still.png")
    plain = Clips(tmp_path).video(0)[0]
    pairs = Clips(tmp_path, augment=Augment()).batch(0, 16)
    assert torch.allclose(pairs.source, pairs.driving, atol=1e-6)
    assert not torch.allclose(pairs.source[0], pairs.source[1], atol=1e-3)
    mirrored = (
        Clips(tmp_path, augment=Augment(flip=1.0, reverse=0.0, colour=0.0)).batch(0, 1).source[0]
    )
    assert torch.equal(mirrored, plain.flip(-1))


def test_time_runs_backwards(tmp_path):
    write(tmp_path / "strip.png", 200)
    forth = Clips(tmp_path, augment=Augment(0.0, 0.0, 0.0)).batch(0, 4)
    back = Clips(tmp_path, augment=Augment(0.0, 1.0, 0.0)).batch(0, 4)
    assert torch.equal(forth.source, back.driving) and torch.equal(forth.driving, back.source)


def test_pair_lists(tmp_path):
    (tmp_path / "pairs.csv").write_text("distance,source,driving\n1,a.mp4,b.mp4\n2,c.mp4,a.mp4\n")
    assert read_pair_list(tmp_path / "pairs.csv") == [("a.mp4", "b.mp4"), ("c.mp4", "a.mp4")]
    (tmp_path / "other.csv").write_text("from,to\n1,2\n")
    for name, sentence in (
        ("other.csv", "its columns are from, to"),
        ("none.csv", "cannot be read as text .it is no file"),
    ):
        with pytest.raises(motion.InputError, match=sentence):
            read_pair_list(tmp_path / name)
