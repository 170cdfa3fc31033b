"""Checkpoints people really have: whatever holds all of a known family's tensors loads."""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
import sys
import types
import warnings
import zipfile

import numpy as np
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
        "very deep": {"a": {"b": {"c": {"d": {"e": {"f": nets}}}}}},
        "each by its name": {f"{network}_state_dict": nets[network] for network in nets},
        "each with a name before": {f"net_{network}": nets[network] for network in nets},
        "each in one of any name": {network: {"g": nets[network]} for network in nets},
        "each with its optimizer": {
            network: {"model": nets[network], "optimizer": {"state": {0: torch.zeros(2)}}}
            for network in nets
        },
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
    [
        *("state_dict", "model", "net", "deep", "each", "parallel", "an average first", "flat"),
        *("very deep", "each by its name", "each with a name before", "each in one of any name"),
        "each with its optimizer",
    ],
)
def test_a_model_inside_other_dictionaries_is_found(trained, tmp_path, case):
    torch.save(wrapped(networks(trained))[case], tmp_path / "mine.ckpt")
    found = motion.load(tmp_path / "mine.ckpt", device="cpu")
    assert_close(dict(found.state_dict()), dict(trained.state_dict()))


@pytest.mark.parametrize("name", ["mine.zip", "mine", "mine.bin", "mine.mp4", "mine.safetensors"])
def test_a_renamed_archive_is_what_it_holds(trained, tmp_path, name):
    torch.save(networks(trained), tmp_path / name)
    assert motion.load(tmp_path / name, device="cpu").family == "fomm"


@pytest.mark.parametrize("named", ["the folder", "the one in it", "data.pkl"])
def test_an_unpacked_archive_is_what_it_held(trained, tmp_path, named):
    torch.save(networks(trained), tmp_path / "mine.pth")
    with zipfile.ZipFile(tmp_path / "mine.pth") as archive:
        archive.extractall(tmp_path / "unpacked")
    folder = tmp_path / "unpacked"
    inner = next(folder.iterdir())
    path = {"the folder": folder, "the one in it": inner, "data.pkl": inner / "data.pkl"}[named]
    found = motion.load(path, device="cpu")
    assert_close(dict(found.state_dict()), dict(trained.state_dict()))


def test_a_model_that_lacks_a_tensor_is_still_refused(trained, tmp_path):
    nets = networks(trained)
    nets["generator"].pop("final.weight")
    torch.save({"model": nets}, tmp_path / "mine.pth")
    with pytest.raises(motion.CheckpointError, match="lacks 1 tensors, the first generator.final"):
        motion.load(tmp_path / "mine.pth", device="cpu")


@pytest.fixture
def a_program(monkeypatch):
    """Classes of a program that is not here when the file is opened."""
    room = types.ModuleType("a_program")

    class Options:
        def __init__(self):
            self.rate, self.names = 2e-4, ["a", {"b": (1, 2)}]

    class Settings(dict):
        pass

    class Network(torch.nn.Module):
        def __init__(self, tensors):
            super().__init__()
            for name, tensor in tensors.items():
                inner, (*path, leaf) = self, name.split(".")
                for part in path:
                    if part not in inner._modules:
                        inner.add_module(part, torch.nn.Module())
                    inner = inner._modules[part]
                inner.register_buffer(leaf, tensor)

    for kind in (Options, Settings, Network):
        kind.__module__, kind.__qualname__ = "a_program", kind.__name__
        setattr(room, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "a_program", room)
    return room


def beside_settings(nets, program):
    parameter = torch.nn.Parameter(torch.zeros(3))
    settings = program.Settings(rate=1, inner=program.Settings(x=[1, 2]))
    return {
        "argparse": {**nets, "args": argparse.Namespace(rate=1, path=pathlib.Path("a"))},
        "a date": {**nets, "made": datetime.datetime(2020, 1, 2), "took": datetime.timedelta(3)},
        "containers": {**nets, "tags": {"a", "b"}, "log": collections.defaultdict(list, a=[1])},
        "arrays": {**nets, "history": np.zeros(5), "best": np.float32(3)},
        "a program's own": {**nets, "opt": program.Options(), "config": settings},
        "an optimizer whole": {**nets, "solver": torch.optim.Adam([parameter])},
        "in a table of its own": program.Settings(nets),
        "in a defaultdict": collections.defaultdict(dict, nets),
        "modules whole": {name: program.Network(tensors) for name, tensors in nets.items()},
    }


@pytest.mark.parametrize(
    "case",
    [
        *("argparse", "a date", "containers", "arrays", "a program's own", "an optimizer whole"),
        *("in a table of its own", "in a defaultdict", "modules whole"),
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_harmless_settings_are_no_attack(trained, tmp_path, a_program, monkeypatch, case, new):
    content = beside_settings(networks(trained), a_program)[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(content, tmp_path / "mine.pth", _use_new_zipfile_serialization=new)
    if case == "modules whole" and not new:  # which PyTorch does not read
        with pytest.raises(motion.CheckpointError, match="save their state_dict"):
            motion.load(tmp_path / "mine.pth", device="cpu")
        return
    monkeypatch.delitem(sys.modules, "a_program")
    found = motion.load(tmp_path / "mine.pth", device="cpu")
    assert_close(dict(found.state_dict()), dict(trained.state_dict()))


class Called:
    """Made by calling a function."""

    def __init__(self, function, *values):
        self.called = function, values

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize(
    "content",
    [
        Called(exec, "1"),
        Called(getattr, "a", "upper"),
        Called(sys.exit),
        Called(zipfile.main, []),
        {"a": torch.nn.functional.relu, "b": Called(torch.hub.help, "a", "b")},
    ],
    ids=("exec", "getattr", "exit", "zipfile", "beside a function"),
)
def test_a_call_is_still_one(trained, tmp_path, content):
    torch.save({**networks(trained), "config": content}, tmp_path / "mine.pth")
    with pytest.raises(motion.UnsafeCheckpoint, match="names code to run"):
        motion.load(tmp_path / "mine.pth", device="cpu")


def test_a_function_of_a_program_that_is_called_is_one_too(trained, tmp_path, a_program):
    def make():
        raise AssertionError("it ran")

    make.__module__, make.__qualname__ = "a_program", "make"
    a_program.make = make
    torch.save({**networks(trained), "config": Called(make)}, tmp_path / "mine.pth")
    with pytest.raises(motion.UnsafeCheckpoint, match=r"a_program\.make"):
        motion.load(tmp_path / "mine.pth", device="cpu")


def test_of_two_models_the_first_is_taken_and_the_other_is_named(trained, tmp_path, caplog):
    nets = networks(trained)
    other = {name: {n: t * 0 for n, t in tensors.items()} for name, tensors in nets.items()}
    torch.save({"model_a": nets, "model_b": other}, tmp_path / "mine.pth")
    found = motion.load(tmp_path / "mine.pth", device="cpu")
    assert_close(dict(found.state_dict()), dict(trained.state_dict()))
    assert "taken from model_a" in caplog.text and "(model_b)" in caplog.text


def refusals(nets):
    conv = "dense_motion_network.hourglass.encoder.down_blocks.0.conv.weight"

    def changed(tensor):
        return {**nets, "generator": {**nets["generator"], conv: tensor}}

    state = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}
    return {
        "one network": ({"generator": nets["generator"]}, "lacks its kp_detector"),
        "one network bare": (nets["kp_detector"], "the kp_detector of a fomm model alone"),
        "an optimizer": ({"optim_g": state}, r"only what training needs \(optim_g\)"),
        "an optimizer bare": (state, "the state of an optimizer"),
        "arrays": ({n: {k: t.numpy() for k, t in v.items()} for n, v in nets.items()}, "NumPy"),
        "no shape": (changed(torch.tensor(1.0)), rf"{conv} has the shape \(\)"),
        "another shape": (changed(torch.zeros(3, 2, 5, 4)), r"\(3, 2, 5, 4\) for \("),
        "a list": ([nets], "holds a list, not a dictionary"),
    }


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("case", sorted(refusals({"generator": {}, "kp_detector": {}})))
def test_what_does_not_load_says_what_it_is(trained, tmp_path, case, new):
    content, says = refusals(networks(trained))[case]
    torch.save(content, tmp_path / "mine.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(motion.CheckpointError, match=says) as caught:
        motion.load(tmp_path / "mine.pth", device="cpu")
    assert not isinstance(caught.value, motion.UnsafeCheckpoint) and "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ["copart", "mraa", "monkeynet"])
def test_every_family_is_found_however_it_is_kept(golden, tmp_path, case):
    nets: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in golden(case).tensors.items():
        network, _, rest = name.partition(".")
        nets.setdefault(network, {})[rest] = tensor
    torch.save(nets, tmp_path / "plain.pth")
    wanted = dict(motion.load(tmp_path / "plain.pth", device="cpu").state_dict())
    ways = {
        "deep": {"a": {"b": {"c": {"d": {"state_dict": nets}}}}},
        "each": {network: {"params_ema": tensors} for network, tensors in nets.items()},
        "named": {f"net_{network}_state_dict": tensors for network, tensors in nets.items()},
    }
    for way, content in ways.items():
        torch.save(content, tmp_path / f"{way}.pth")
        assert_close(dict(motion.load(tmp_path / f"{way}.pth", device="cpu").state_dict()), wanted)
