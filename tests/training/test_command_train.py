"""`comfyui-motion train`: a recipe and a folder of clips in, a model out, on from where it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion.cli import main
from comfyui_motion.training.plot import read_log

RECIPE = """
family = "monkeynet"
batch = 2
lr = 1e-3
log_every = 1

[parameters]
keypoints = 2
detector = { width = 4, limit = 8, depth = 2 }
dense = { width = 4, limit = 8, depth = 2 }
generator = { width = 4, limit = 8, depth = 2 }
refinement = 1
size = 16

[data]
workers = 0
hold_out = 1

[[stages]]
name = "first"
epochs = 2

[[stages]]
name = "second"
epochs = 2

[stages.losses]
gradient = 1.0
"""


@pytest.fixture
def recipe(tmp_path) -> Path:
    (tmp_path / "clips").mkdir()
    for i in range(5):
        motion.write_picture(torch.rand(1, 3, 16, 48), tmp_path / "clips" / f"{i}.png")
    (tmp_path / "clips" / "damaged.png").write_bytes(b"no picture")
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE.replace("[data]", "[losses]\nperceptual = 10.0\n\n[data]"))
    return path


def run(recipe: Path, *options: str) -> int:
    folder = recipe.parent
    return main(
        [
            "train",
            str(recipe),
            "--data",
            str(folder / "clips"),
            "-o",
            str(folder / "run"),
            "--device",
            "cpu",
            *options,
        ]
    )


def test_it_trains_tells_and_goes_on(recipe, capsys):
    assert run(recipe, "--resume") == 2
    assert "no state to go on from" in capsys.readouterr().err
    assert run(recipe) == 0
    told = capsys.readouterr().out
    left_out = "left out, as they cannot be read: 1\n  damaged.png"
    for sentence in (
        "monkeynet, 8 steps (first 4, second 4)",
        "4 videos of",
        "1 held out",
        "no VGG file",
        left_out,
    ):
        assert sentence in told
    assert (
        motion.load(recipe.parent / "run" / "model.safetensors", device="cpu").family == "monkeynet"
    )
    found = read_log(recipe.parent / "run" / "log.csv")
    assert [step for step, _ in found["pyramid"]] == [1, 2, 3, 4] and [
        step for step, _ in found["gradient"]
    ] == list(range(1, 9))
    assert run(recipe, "--resume") == 0  # it had ended: nothing is left to do
    assert read_log(recipe.parent / "run" / "log.csv") == found


def test_options_stand_over_the_recipe(recipe, capsys):
    assert run(recipe, "--steps", "4", "--batch", "4", "--seed", "3") == 0
    assert "4 steps (first 2, second 2)" in capsys.readouterr().out
    assert run(recipe, "--steps", "4", "--batch", "4", "--seed", "4") == 2
    assert "another recipe: seed differ" in capsys.readouterr().err
    assert run(recipe, "--steps", "4", "--batch", "4", "--seed", "4", "--fresh") == 0


def test_what_clips_cannot_teach_is_said_before_it_starts(recipe, capsys):
    recipe.write_text(
        RECIPE.replace("gradient = 1.0", "joints = 1.0").replace(
            'name = "first"', 'name = "first"\nlosses = { pyramid = 1 }'
        )
    )
    assert run(recipe) == 2
    assert (
        "needs a truth (joints), which clips do not have; train it on --data puppets"
        in capsys.readouterr().err
    )
    assert not (recipe.parent / "run").exists()
