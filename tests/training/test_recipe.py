"""Recipes: what they say is what is meant, and what they cannot mean is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

import comfyui_motion as motion
from comfyui_motion.registry import family, parameters
from comfyui_motion.training.recipe import (
    presets,
    read_recipe,
    recipe_of,
    size_of,
    written,
)
from comfyui_motion.training.table import (
    DISCRIMINATOR,
    FIELD,
    FRAMES_MADE,
    LACKS,
    LOSSES,
    PORTRAIT,
    TRUTH,
    VGG,
    in_words,
)

LEAST = {"family": "fomm", "steps": 10, "losses": {"pyramid": 10}}


def test_what_stands_at_the_top_is_every_stages_default():
    recipe = recipe_of(
        {
            **LEAST,
            "lr": 0.01,
            "stages": [{"name": "a"}, {"name": "b", "lr": 1, "losses": {"gradient": 2}}],
        }
    )
    assert [stage.lr for stage in recipe.stages] == [0.01, 1.0]
    assert [stage.losses for stage in recipe.stages] == [{"pyramid": 10.0}, {"gradient": 2.0}]
    assert recipe.steps == 20


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"famly": "fomm"}, "A recipe has no 'famly'; it has accumulate, "),
        ({"stages": [{"stepps": 3}]}, "stage 1 has no 'stepps'; it has accumulate"),
        ({"data": {"sice": 3}}, "data of the recipe has no 'sice'; it has colour"),
        ({"losses": {"vgg": 1}}, "losses of stage train: vgg given; there are perceptual"),
        (
            {"losses": {"pyramid": "much"}},
            "pyramid of losses of stage 1 is float, and 'much' was given",
        ),
        ({"batch": 1.5}, "batch of stage 1 is int, and 1.5 was given"),
        ({"batch": True}, "batch of stage 1 is int, and True was given"),
        ({"batch": 0}, "batch of stage train must be at least 1, and is 0"),
        ({"lr": "fast"}, "lr of stage 1 is float"),
        ({"milestones": 3}, "milestones of stage 1 is a list, and 3 was given"),
        ({"warp": 3}, "warp of stage 1 is a table"),
        ({"warp": {"bent": 3}}, "warp of stage 1 has no 'bent'; it has bend"),
        ({"precision": "float16"}, "precision of stage train is one of float32, bfloat16"),
        ({"epochs": 2}, "either steps or epochs"),
        ({"steps": 0}, "either steps or epochs"),
        ({"stages": []}, "at least one"),
        ({"betas": [0.5]}, "two numbers"),
        ({"seed": None}, "seed of the recipe is int"),
    ],
)
def test_what_cannot_be_meant_is_named(changes, sentence):
    with pytest.raises(motion.InputError, match=sentence.replace("[", r"\[")):
        recipe_of({**LEAST, **changes})


def test_what_is_missing_is_named():
    with pytest.raises(motion.InputError, match="stage 1 lacks 'losses'"):
        recipe_of({"family": "fomm", "steps": 1})
    with pytest.raises(motion.InputError, match="the recipe lacks 'family'"):
        recipe_of({"steps": 1, "losses": {"pyramid": 1}})


def test_epochs_become_steps_with_all_that_is_timed_in_them():
    timed = {
        "epochs": 4,
        "steps": 0,
        "batch": 3,
        "accumulate": 2,
        "milestones": [2, 3],
        "background_from": 1,
        "warmup": 1,
    }
    stage = (
        recipe_of({**LEAST, **timed, "dropout": {"ramp": 1, "until": 2}}).in_steps(20).stages[0]
    )  # 4 steps of 6 pairs cover 20
    assert (stage.steps, stage.epochs, stage.milestones, stage.background_from, stage.warmup) == (
        16,
        0,
        (8, 12),
        4,
        4,
    )
    assert (stage.dropout.ramp, stage.dropout.until) == (4, 8)
    with pytest.raises(motion.InputError, match="these pairs have none"):
        recipe_of({**LEAST, **timed}).in_steps(None)


def test_a_recipe_shrinks_in_proportion():
    recipe = recipe_of(
        {**LEAST, "stages": [{"steps": 60, "milestones": [30]}, {"steps": 40}]}
    ).lasting(10)
    assert [stage.steps for stage in recipe.stages] == [6, 4] and recipe.stages[0].milestones == (
        3,
    )


def test_a_recipe_survives_being_written():
    recipe = recipe_of(
        {**LEAST, "dropout": {"first": 0.2}, "rates": {"kp_detector": 2}, "warp": {"turn": 1}}
    )
    assert recipe_of(written(recipe)) == recipe
    assert recipe_of(written(recipe_of(LEAST))) == recipe_of(LEAST)


def test_what_needs_a_truth_is_known():
    assert recipe_of(
        {**LEAST, "losses": {"pyramid": 1, "flow": 1}, "teacher": True}
    ).supervised == ["flow", "teacher"]
    assert LOSSES["flow"].supervised and not LOSSES["pyramid"].supervised


def test_every_loss_says_what_it_asks_and_needs_what_is_known():
    known = {TRUTH, VGG, DISCRIMINATOR, FRAMES_MADE, FIELD, PORTRAIT, *LACKS}
    for name, loss in LOSSES.items():
        assert loss.help and set(loss.needs) <= known, name
    shown = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    assert in_words() in shown, "docs/training.md: python docs/make.py writes the table anew"


@pytest.mark.parametrize("name", presets())
def test_every_preset_can_be_followed(name):
    recipe = read_recipe(name)
    kind = family(recipe.family)
    assert parameters(kind, **recipe.parameters).size == size_of(recipe)
    assert recipe.in_steps(1000).steps > 0


def test_files_and_names_that_are_no_recipe(tmp_path):
    with pytest.raises(
        motion.InputError, match="neither a file, nor one of the presets .*shapes-fomm"
    ):
        read_recipe("shapes-fom")
    (tmp_path / "broken.toml").write_text("family = ")
    with pytest.raises(motion.InputError, match="is not TOML"):
        read_recipe(tmp_path / "broken.toml")
    (tmp_path / "own.toml").write_text('family = "fomm"\nsteps = 3\n[losses]\npyramid = 1')
    assert read_recipe(tmp_path / "own.toml", seed=5).seed == 5
