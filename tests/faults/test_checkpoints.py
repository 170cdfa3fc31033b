"""Checkpoints people really have: whatever holds all of a known family's tensors loads."""

from __future__ import annotations

import zipfile

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion


def networks(model):
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict().items():
        network, _, rest = name.partition(".")
        found.setdefault(network, {})[rest] = tensor.clone()
    return found


@pytest.fixture
def trained(model):
    torch.manual_seed(0)
    return model


def beside(nets):
    return {
        "an EMA copy": {**nets, "generator_ema": nets["generator"]},
        "a counter": {**nets, "generator": {**nets["generator"], "total_ops": torch.zeros(1)}},
        "a perceptual network": {**nets, "vgg": {"slice1.0.weight": torch.zeros(3, 3)}},
        "its settings": {**nets, "config": {"lr": 2e-4, "name": "mine"}, "step": 7},
    }


def wrapped(nets):
    flat = {
        f"{network}.{name}": t for network, tensors in nets.items() for name, t in tensors.items()
    }
    each = {network: {"state_dict": tensors} for network, tensors in nets.items()}
    return {
        "state_dict": {"state_dict": nets},
        "model": {"model": nets},
        "net": {"net": flat},
        "deep": {"my_experiment": {"model": {"state_dict": nets}}, "note": "v3"},
        "each": each,
        "parallel": {"model": {f"module.{name}": t for name, t in flat.items()}},
        "an average first": {"model_ema": {n: t * 0 for n, t in flat.items()}, "model": flat},
        "flat": flat,
    }


@pytest.mark.parametrize(
    "case", ["an EMA copy", "a counter", "a perceptual network", "its settings"]
)
def test_what_is_beside_a_model_is_left_out_and_told(trained, tmp_path, caplog, case):
    torch.save(beside(networks(trained))[case], tmp_path / "mine.pth")
    found = motion.load(tmp_path / "mine.pth", device="cpu")
    assert_close(dict(found.state_dict()), dict(trained.state_dict()))
    left_out = {
        "an EMA copy": "generator_ema",
        "a counter": "total_ops",
        "a perceptual network": "vgg",
    }
    assert left_out.get(case, "") in caplog.text


@pytest.mark.parametrize(
    "case",
    ["state_dict", "model", "net", "deep", "each", "parallel", "an average first", "flat"],
)
def test_a_model_inside_other_dictionaries_is_found(trained, tmp_path, case):
    torch.save(wrapped(networks(trained))[case], tmp_path / "mine.ckpt")
    found = motion.load(tmp_path / "mine.ckpt", device="cpu")
    assert_close(dict(found.state_dict()), dict(trained.state_dict()))


@pytest.mark.parametrize("name", ["mine.zip", "mine.tar", "mine", "mine.bin", "mine.mp4"])
def test_a_renamed_archive_is_what_it_holds(trained, tmp_path, name):
    torch.save(networks(trained), tmp_path / name)
    assert motion.load(tmp_path / name, device="cpu").family == "fomm"


@pytest.mark.parametrize("deeper", [False, True])
def test_an_unpacked_archive_is_what_it_held(trained, tmp_path, deeper):
    torch.save(networks(trained), tmp_path / "mine.pth")
    with zipfile.ZipFile(tmp_path / "mine.pth") as archive:
        archive.extractall(tmp_path / "unpacked")
    folder = tmp_path / "unpacked"
    found = motion.load(folder if deeper else next(folder.iterdir()), device="cpu")
    assert_close(dict(found.state_dict()), dict(trained.state_dict()))


def test_a_model_that_lacks_a_tensor_is_still_refused(trained, tmp_path):
    nets = networks(trained)
    nets["generator"].pop("final.weight")
    torch.save({"model": nets}, tmp_path / "mine.pth")
    with pytest.raises(motion.CheckpointError, match="lacks 1 tensors, the first generator.final"):
        motion.load(tmp_path / "mine.pth", device="cpu")
