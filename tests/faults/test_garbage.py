"""Silence about garbage: what is no number, no frame, no option is a sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import comfyui_motion as motion
from comfyui_motion.cli import main
from comfyui_motion.driving import Batches
from comfyui_motion.errors import InputError
from comfyui_motion.media.video import VideoWriter

SAMPLES = Path(motion.__file__).parents[1] / "samples"

NAN, INF = float("nan"), float("inf")


def flow():
    """The default's partner, small."""
    return motion.build("flow", size=64, detail=64, lattice=16)


def clip(count=5, size=64):
    torch.manual_seed(0)
    return torch.rand(1, 3, size, size + 8)[..., :size].repeat(count, 1, 1, 1)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("family", ["flow", "learned"])
def test_a_frame_of_no_numbers_is_named(model, value, family):
    chosen = flow() if family == "flow" else model
    driving = clip()
    driving[3, :, 5, 5] = value
    with pytest.raises(InputError, match="frame 3"):
        list(motion.animate(chosen, clip(1), driving, batch_size=2))
    with pytest.raises(InputError, match="no numbers"):
        list(motion.animate(chosen, driving[3:4], clip()))
    with pytest.raises(InputError, match="number 3 of its batch"):
        chosen.detect(driving)


def test_keypoints_of_no_numbers_are_named(model):
    points = model.detect(clip())
    spoilt = motion.Keypoints(points.position.clone(), points.jacobian)
    spoilt.position[2, 1, 0] = NAN
    for driving, reference in ((spoilt, points[:1]), (points, spoilt[2:3])):
        with pytest.raises(InputError, match="no numbers"):
            motion.retarget(driving, reference, points[:1])


def test_weights_of_no_numbers_are_refused(model, tmp_path):
    motion.save(model, tmp_path / "a.safetensors")
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors["generator.final.weight"][0] = NAN
    nets: dict = {}
    for name, tensor in tensors.items():
        nets.setdefault(name.partition(".")[0], {})[name.partition(".")[2]] = tensor
    torch.save(nets, tmp_path / "b.pth")
    with pytest.raises(motion.CheckpointError, match="generator.final.weight"):
        motion.load(tmp_path / "b.pth")


def test_pictures_that_came_out_as_no_numbers_are_not_handed_on(model, monkeypatch):
    monkeypatch.setattr(
        model, "generate", lambda portrait, field: torch.full((len(field), 3, 64, 64), NAN)
    )
    with pytest.raises(InputError, match="Frame 0 came out"):
        list(motion.animate(model, clip(1), clip()))


@pytest.mark.parametrize("target", ["o.mp4", "o.gif", "frames/"])
def test_a_frame_of_no_numbers_is_not_written(tmp_path, target):
    frames = clip()
    frames[4, 0, 0, 0] = NAN
    with (
        pytest.raises(InputError, match="frame 4"),
        VideoWriter(f"{tmp_path}/{target}", 25) as writer,
    ):
        writer.write(frames)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_a_flash_or_a_dropout_is_held_over_and_named(value, caplog):
    source = clip(1)
    driving = clip()
    driving[2] = value
    frames = torch.cat(list(motion.animate(flow(), source, driving, size="source")))
    assert (frames[2] - frames[1]).abs().max() < 1e-5
    assert "Driving frame 2 is of one colour" in caplog.text


def held(frames):
    return [round(float(frame.mean()), 1) for batch in Batches(frames, 1) for frame in batch]


def test_black_at_the_beginning_gives_way_to_the_first_picture(caplog):
    textured = torch.rand(1, 3, 8, 8) * 0.2
    frames = torch.cat((torch.zeros(3, 3, 8, 8), textured + 0.3, textured + 0.6))
    assert held(frames) == [0.4, 0.4, 0.4, 0.4, 0.7] and "frames 0-2" in caplog.text


def test_a_clip_of_nothing_else_comes_as_it_is(caplog):
    frames = torch.zeros(3, 3, 8, 8)
    assert held(frames) == [0.0, 0.0, 0.0] and not caplog.text


@pytest.mark.parametrize(
    "words",
    [
        ["--fps", "0"],
        ["--fps", "1e9"],
        ["--fps", "nan"],
        ["--crf", "-1"],
        ["--crf", "99"],
        ["--start", "-1"],
        ["--start", "4", "--stop", "4"],
        ["--start", "99"],
        ["--subject", "nan,0,9,9"],
        ["--subject", "9,9,1,1"],
        ["--driving-subject", "0,0,inf,9"],
        ["--strength", "inf"],
        ["--batch", "0"],
        ["--reference", "99"],
    ],
)
def test_options_out_of_range_are_one_sentence(film, tmp_path, capsys, words):
    Image.fromarray((torch.rand(48, 64, 3) * 255).byte().numpy()).save(tmp_path / "p.png")
    arguments = ["animate", str(tmp_path / "p.png"), str(film("d.mp4", 6)), "--model", "flow"]
    before = sorted(tmp_path.iterdir())
    assert main([*arguments, "-o", str(tmp_path / "o.mp4"), *words]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("comfyui-motion: ") and len(said.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_mask_that_is_black_all_over_is_a_sentence(tmp_path):
    from comfyui_motion.cli.swap import read_mask

    Image.new("L", (8, 8), 0).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="black all over"):
        read_mask(str(tmp_path / "mask.png"))


def test_a_face_that_nobody_looks_for_is_told_of(caplog):
    picture, clip = torch.rand(1, 3, 32, 32), torch.rand(2, 3, 32, 32)
    next(motion.animate(motion.load("flow"), picture, clip, face=9))
    assert caplog.text.count("Face 9 is not looked for: flow moves the whole picture") == 1


def test_a_face_that_is_chosen_is_looked_for_without_a_word(caplog):
    picture = motion.read_picture(SAMPLES / "source.png")
    next(motion.animate(motion.load(), picture, picture, face=1))
    assert "not looked for" not in caplog.text
