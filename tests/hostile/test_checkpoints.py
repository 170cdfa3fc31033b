"""Checkpoints that mean harm: nothing is run, nothing is built, one sentence."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import comfyui_motion as motion
from comfyui_motion.checkpoint import read
from comfyui_motion.cli import main
from comfyui_motion.doors.limits import Limits
from comfyui_motion.registry import FAMILIES

HOURGLASS = {"width": 4, "limit": 16, "depth": 2}
BODY = {"width": 4, "limit": 16, "downs": 2, "residuals": 1}
SMALL = {"keypoints": 4, "jacobians": 4, "detector": HOURGLASS, "dense": HOURGLASS, "body": BODY}
HARMLESS = {"idna", "numpy scalar"}  # what they name is put aside, and what is left holds no tensor


@pytest.fixture(scope="module")
def whole():
    return motion.build("fomm", **SMALL)


def nested(model, change):
    content: dict = {}
    for key, value in model.state_dict().items():
        network, _, rest = key.partition(".")
        content.setdefault(network, {})[rest] = change(value)
    return content


def test_pickles_that_would_run_fill_or_never_end_are_refused_unopened(
    tmp_path, mutants, refused, monkeypatch
):
    opened = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: opened.append(1) or load(*a, **k))
    for name, data in mutants.pickles().items():
        (tmp_path / "a.pth").write_bytes(data)
        opened.clear()
        said = refused(lambda: motion.inspect(tmp_path / "a.pth"), motion.CheckpointError)
        if name not in HARMLESS | {"deep", "itself", "two to the fortieth tables"}:
            assert not opened, f"{name} was opened: {said}"


def test_code_is_named_before_anything_is_opened(tmp_path, mutants):
    for name in ("code", "protocol 4", "bytes of any number"):
        (tmp_path / "a.pth").write_bytes(mutants.pickles()[name])
        with pytest.raises(motion.UnsafeCheckpoint, match="names code to run"):
            motion.inspect(tmp_path / "a.pth")


@pytest.mark.parametrize("version", ["2.4.0", "2.5.1", "2.6.0", "2.9.1+cu128"])
def test_a_torch_that_may_run_code_opens_no_pickle(tmp_path, mutants, monkeypatch, version):
    (tmp_path / "a.pth").write_bytes(mutants.checkpoints()["a.pth"])
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(motion.CheckpointError, match="CVE-2025-32434.*safetensors"):
        read(tmp_path / "a.pth")
    assert list(read(tmp_path / "a.safetensors").tensors) == ["a"]


def test_what_costs_too_much_can_be_allowed(tmp_path, monkeypatch):
    torch.save({"a": {str(i): torch.zeros(1) for i in range(50)}}, tmp_path / "a.pth")
    monkeypatch.setenv("COMFYUI_MOTION_LIMITS", "tensors=20")
    with pytest.raises(motion.CheckpointError, match="COMFYUI_MOTION_LIMITS=tensors="):
        read(tmp_path / "a.pth")
    monkeypatch.setenv("COMFYUI_MOTION_LIMITS", "tensors=60, pixels=1e9")
    assert len(read(tmp_path / "a.pth").tensors) == 50
    monkeypatch.setenv("COMFYUI_MOTION_LIMITS", "tensors=many")
    with pytest.raises(motion.InputError, match="NAME=NUMBER"):
        read(tmp_path / "a.pth")


def test_every_limit_is_told_as_it_is(capsys):
    told = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    for name, value in dataclasses.asdict(Limits()).items():
        (row,) = re.findall(rf"\| `{name}` \|.*\| (\S+) \|", told)
        assert float(row) == value and name in said


@pytest.mark.parametrize("file", ["a.pth", "old.pth", "a.safetensors"])
def test_damaged_checkpoints_are_a_sentence(tmp_path, mutants, file):
    chance = random.Random(file)
    seed = mutants.checkpoints()[file]
    for _ in range(150):
        (tmp_path / file).write_bytes(mutants.mutated(seed, chance))
        try:
            motion.inspect(tmp_path / file)
        except motion.MotionError as error:
            assert str(error).isprintable()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.bool(), "truth values"),
        (lambda t: t.to("meta"), "no weights"),
        (lambda t: t * float("nan") if t.is_floating_point() else t, "not finite"),
        (lambda t: t * float("inf") if t.is_floating_point() else t, "not finite"),
        (lambda t: t.double() * 1e300 if t.is_floating_point() else t, "not finite"),
        (lambda t: t.int() if t.is_floating_point() else t, "whole numbers"),
    ],
    ids=["bool", "meta", "NaN", "infinite", "too large", "whole"],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_none_are_refused(tmp_path, whole, refused, change, says):
    torch.save(nested(whole, change), tmp_path / "a.pth")
    assert says in refused(lambda: motion.load(tmp_path / "a.pth", device="cpu"))


MRAA = {
    "regions": 3,
    "detector": HOURGLASS,
    "flow": HOURGLASS,
    "background_encoder": HOURGLASS,
    "body": BODY,
    "avd": {"identity": 8, "pose": 6},
}
OWN = dataclasses.asdict(motion.build("mraa", **MRAA).spec)
WRONG = {
    "missing": None,
    "no JSON": "{",
    "a list": "[1]",
    "deep": "[" * 100_000,
    "digits": "9" * 100_000,
    "unknown": json.dumps({**OWN, "<b>": 1}),
    **{
        f"{name}={value!r}"[:60]: json.dumps({**OWN, name: value})
        for name in OWN
        for value in (None, -1, 10**30, 0.5, "x", {"a": 1}, True, float("nan"))
        if value != OWN[name] and not (isinstance(OWN[name], bool) and isinstance(value, bool))
    },
    "no end": json.dumps({**OWN, "detector": {**OWN["detector"], "depth": 10**30}}),
    "half a shape": json.dumps({**OWN, "detector": {"width": 1}}),
}


def test_a_description_is_believed_as_far_as_the_tensors_bear_it_out(tmp_path, refused):
    path = motion.save(motion.build("mraa", **MRAA), tmp_path / "a.safetensors")
    tensors = {name: value.clone() for name, value in read(path).tensors.items()}
    agrees = {"temperature", "keypoint_variance", "shrink", "size", "head_padding"}
    for name, text in WRONG.items():
        about = {"format": "comfyui_motion", "family": "mraa"}
        save_file(tensors, path, about if text is None else {**about, "parameters": text})
        try:
            motion.inspect(path)
        except motion.MotionError as error:
            assert str(error).isprintable() and "<" not in str(error), name
        else:
            assert name.partition("=")[0] in agrees, f"{name} was believed"


@pytest.mark.parametrize("family", ["", "nobody", "<b>", "flow", "x2face", "../x"])
def test_a_family_that_it_is_not_of(tmp_path, refused, family):
    about = {"format": "comfyui_motion", "family": family, "parameters": "{}"}
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata=about)
    refused(lambda: motion.load(tmp_path / "a.safetensors", device="cpu"))
    assert family == "" or family not in FAMILIES or family in ("flow", "x2face")


def test_special_files_and_names(tmp_path, refused):
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "loop.pth").symlink_to(tmp_path / "loop.pth")
    for name in ("pipe.pth", "loop.pth", "a" * 300 + ".pth", "a\0b.pth", "\udc80.pth", "x/y/z.pth"):
        refused(lambda name=name: motion.inspect(tmp_path / name))
    refused(lambda: motion.inspect("/dev/zero"))
    refused(lambda: motion.KeypointPredictor.load(tmp_path / "pipe.pth"))


def test_a_predictor_is_what_its_tensors_are(tmp_path, refused):
    path = tmp_path / "p.safetensors"
    motion.KeypointPredictor(2, hidden=8).save(path)
    with safe_open(path, "pt") as file:
        tensors, about = {n: file.get_tensor(n) for n in list(file.keys())}, file.metadata()
    for made in (
        '{"points": 1e30}',
        '{"points": 2, "covariance": true, "hidden": 1000000000}',
        "[]",
    ):
        save_file(tensors, path, {**about, "parameters": made})
        refused(lambda: motion.KeypointPredictor.load(path), motion.CheckpointError)
    spoilt = {name: value * float("nan") for name, value in tensors.items()}
    save_file(spoilt, path, about)
    refused(lambda: motion.KeypointPredictor.load(path), motion.CheckpointError)


def test_a_model_written_twice_has_the_same_bytes(tmp_path, whole):
    first, second = (motion.save(whole, tmp_path / f"{i}.safetensors") for i in range(2))
    assert first.read_bytes() == second.read_bytes()
    assert motion.load(first, device="cpu").spec == whole.spec


def test_the_only_copy_is_not_written_over(tmp_path, whole, refused):
    path = motion.save(whole, tmp_path / "m.safetensors")
    (tmp_path / "link.safetensors").symlink_to(path)
    before = path.read_bytes()
    for target in (path, tmp_path / "link.safetensors"):
        refused(lambda target=target: motion.convert(path, target, torch.float16))
    assert path.read_bytes() == before
