"""One set of options for Python, the command line and the nodes, checked when it is made."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import InputError, Options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "sideways"),
        ("size", "huge"),
        ("fit", "squeeze"),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("reference", -2),
        ("strength", float("nan")),
        ("strength", torch.tensor([1.0, float("inf")])),
        ("subject", (10, 0, 5, 20)),
        ("subject", (0, 0, 5)),
        ("driving_subject", (0, 0, float("nan"), 20)),
        ("finder", motion.load("flow")),
    ],
)
def test_an_error_says_which_option_it_is_about(name, value):
    with pytest.raises(InputError, match=rf"^{name}\b"):
        Options(**{name: value})


def test_options_that_python_gives_one_by_one_are_the_same_as_those_made_at_once():
    source, clip = torch.rand(1, 3, 40, 50), torch.rand(3, 3, 40, 50)
    model = motion.build("flow", detail=96, lattice=24, size=128)
    chosen = {"size": "source", "strength": 0.5, "subject": (5, 5, 35, 30)}
    frames = torch.cat(list(motion.animate(model, source, clip, batch_size=2, **chosen)))
    at_once = motion.perform(model, source, clip, Options(batch_size=2, **chosen))
    assert_close(torch.cat([step.frames for step in at_once]), frames, atol=0, rtol=0)
    changed = motion.perform(model, source, clip, Options(**chosen), batch_size=2)
    assert_close(torch.cat([step.frames for step in changed]), frames, atol=0, rtol=0)


def test_options_are_refused_before_the_first_frame_is_asked_for():
    with pytest.raises(InputError, match="mode must be"):
        motion.animate(
            motion.load("flow"), torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), mode="up"
        )
    with pytest.raises(TypeError, match="speed_of_light"):
        motion.animate(
            motion.load("flow"), torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), speed_of_light=1
        )


def test_options_do_not_change_once_made():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().mode = "absolute"
