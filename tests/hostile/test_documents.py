"""Keypoints, states and logs that are damaged, or say what cannot be."""

from __future__ import annotations

import copy
import os
from dataclasses import replace

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion.data.puppets.clips import Puppets
from comfyui_motion.training.recipe import read_recipe
from comfyui_motion.training.record import Record
from comfyui_motion.training.saved import read_content
from comfyui_motion.training.state import FORMAT
from comfyui_motion.training.trainer import train


def test_keypoints_that_are_none_are_one_short_sentence(mutants, refused):
    for _, text in mutants.documents():
        refused(lambda text=text: motion.Keypoints.from_json(text), motion.InputError)


def test_a_document_longer_than_is_read_can_be_allowed(monkeypatch):
    text = motion.Keypoints(torch.zeros(1, 200, 2)).to_json()
    monkeypatch.setenv("COMFYUI_MOTION_LIMITS", "text=1000")
    with pytest.raises(motion.InputError, match="COMFYUI_MOTION_LIMITS=text="):
        motion.Keypoints.from_json(text)
    monkeypatch.setenv("COMFYUI_MOTION_LIMITS", "text=1e6")
    assert motion.Keypoints.from_json(text).count == 200


@pytest.mark.parametrize("value", ["9" * 400, "9" * 5000, "[" * 5000, "nan.", "1979-05-27"])
def test_a_recipe_that_is_none_is_one_short_sentence(tmp_path, refused, value):
    (tmp_path / "r.toml").write_text(f'family = "fomm"\nlr = {value}\n')
    refused(lambda: read_recipe(tmp_path / "r.toml"), motion.InputError)
    os.mkfifo(tmp_path / "pipe.toml")
    refused(lambda: read_recipe(tmp_path / "pipe.toml"), motion.InputError)


@pytest.mark.parametrize("sigma", [float("nan"), float("inf"), 1e12])
def test_a_sigma_without_end_is_refused(sigma):
    with pytest.raises(motion.InputError, match="sigma"):
        motion.Keypoints(torch.zeros(3, 1, 2)).smooth(sigma)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A recipe of two steps, its pairs, and the state after the first."""
    folder = tmp_path_factory.mktemp("run")
    recipe = replace(read_recipe("shapes-fomm").lasting(2), save_every=1, sheet_every=100)
    pairs = Puppets(64, 0, kinds=("shape",))

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, pairs, folder, device="cpu", progress=stop)
    return recipe, pairs, read_content(folder / "state.safetensors")


CHANGES = {
    "no format": lambda c: c.pop("format"),
    "recipe no JSON": lambda c: c.update(recipe="{"),
    "recipe a list": lambda c: c.update(recipe="[1]"),
    "recipe a number": lambda c: c.update(recipe=7),
    "no model": lambda c: c.pop("model"),
    "model a list": lambda c: c.update(model=[1]),
    "model without a tensor": lambda c: c["model"].popitem(),
    "model not finite": lambda c: next(iter(c["model"].values())).fill_(float("nan")),
    "step of words": lambda c: c.update(step="1"),
    "step below none": lambda c: c.update(step=-1),
    "step beyond the end": lambda c: c.update(step=10**9),
    "counted of words": lambda c: c.update(counted=None),
    "sums of another": lambda c: c.update(sums={"<b>": 1.0}, counted=1),
    "optimiser of none": lambda c: c.update(optimiser=None),
    "optimiser with other settings": lambda c: c["optimiser"]["param_groups"][0].update(
        betas=(9, 9)
    ),
    "optimiser of other weights": lambda c: next(iter(c["optimiser"]["state"].values())).update(
        exp_avg=torch.zeros(1)
    ),
    "optimiser not finite": lambda c: next(iter(c["optimiser"]["state"].values()))["exp_avg"].fill_(
        float("inf")
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_state_that_is_damaged_is_refused(tmp_path, begun, refused, change):
    """In the format of earlier versions, a pickle, which can say any of it."""
    recipe, pairs, content = begun
    changed = copy.deepcopy(content)
    CHANGES[change](changed)
    torch.save(changed, tmp_path / "state.pt")
    said = refused(lambda: train(recipe, pairs, tmp_path, device="cpu"), motion.InputError)
    assert "afresh" in said


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", [1], None, {"format": FORMAT}, b"<html>"], ids=range(6)
)
def test_a_state_that_is_none_is_refused(tmp_path, begun, refused, content):
    recipe, pairs, _ = begun
    path = tmp_path / "state.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    refused(lambda: train(recipe, pairs, tmp_path, device="cpu"), motion.InputError)


LOG = "step,stage,lr,total\n"


@pytest.mark.parametrize(
    "damage",
    [
        LOG.encode() + b"\0" * 300,
        LOG.encode() + b"1,train,0.1,\xff\xfe",
        LOG.encode() + b"\xc2\xb2,train,0.1,1\n" + b"9" * 6000 + b",train,0.1,1\n1,train,x,nan\n",
        b'"' + b"x" * 200_000,
        b"",
    ],
    ids=["zeros", "no text", "no numbers", "no end", "empty"],
)
def test_a_log_that_is_damaged_loses_its_bad_lines_or_is_named(tmp_path, begun, damage):
    recipe = begun[0]
    (tmp_path / "log.csv").write_bytes(damage)
    try:
        Record(tmp_path, recipe, 1)
    except motion.InputError as error:
        assert "log.csv" in str(error)
    else:
        assert (tmp_path / "log.csv").read_text().count("\n") == 1  # the head alone
