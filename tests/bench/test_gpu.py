"""The report of a device, proven on the CPU with small networks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion import InputError
from comfyui_motion.bench import gpu, sections
from comfyui_motion.bench.gpu import SECTIONS, Plan, report
from comfyui_motion.bench.graphs import ways
from comfyui_motion.bench.lively import lively
from comfyui_motion.bench.parity import parity
from comfyui_motion.bench.report import EXACT, in_readme, marks, page
from comfyui_motion.bench.sections import measure_device
from comfyui_motion.bench.stand_in import DEVICE, StandIn
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
SMALL = HourglassShape(8, 32, 2)
SHAPE = {"detector": SMALL, "dense": SMALL, "body": BodyShape(16, 32, 2, 1), "size": 64}
PLAN = Plan(
    families=("fomm",),
    sizes=(64,),
    batches=(2, 1),
    speeds=("float32",),
    runs=1,
    compiled=(),
    whole=((64, 48),),
    frames=2,
    waiting=("fomm",),
    training=("fomm",),
    training_batch=2,
    steps=3,
    parameters=SHAPE,
)


@pytest.fixture
def checkout(tmp_path):
    """One with a single recorded case."""
    (tmp_path / "tests" / "golden").mkdir(parents=True)
    (tmp_path / "tests" / "golden" / "fomm").symlink_to(ROOT / "tests" / "golden" / "fomm")
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    return tmp_path


def test_every_section_is_measured(checkout):
    told: list[int] = []
    found = report(PLAN, CPU, checkout, lambda row: told.append(len(row["parity"])))
    assert [row for name in SECTIONS for row in found[name] if "failed" in row] == []
    assert found["left_out"] == []
    exact = [row for row in found["parity"] if row["dtype"] == "float32"]
    assert exact and all(row["error"] < 1e-3 for row in exact)
    assert {row["model"] for row in found["whole"]} == {"face", "flow"}
    assert {(row["path"], row["batch"]) for row in found["speed"]} == {
        ("plain", 1),
        ("float32", 1),
        ("float32", 2),
    }
    assert found["training"][0]["rate"] > 0
    assert [row["family"] for row in found["waits"]] == ["fomm"]
    assert found["waits"][0]["waits"] == 0
    assert "fomm" in page(found) and told[:3] == [1, 2, 3]


def test_every_recorded_family_is_met_on_a_device():
    """The stand-in refuses what a GPU would."""
    with StandIn():
        rows = list(parity(ROOT / "tests" / "golden", DEVICE, ("float32",)))
    families = {"copart", "fomm", "liveportrait", "monkeynet", "mraa", "tpsmm", "x2face-small"}
    assert {row["case"] for row in rows} == families
    assert all(row["error"] < EXACT for row in rows)


def test_what_the_time_does_not_reach_is_named(checkout):
    plan = Plan(minutes=0, speeds=("float32",))
    found = report(plan, CPU, checkout, lambda _: None)
    assert found["left_out"] == list(SECTIONS)
    assert "Not reached in the time given: parity" in page(found)


def test_a_failure_ends_its_section_alone(monkeypatch, checkout):
    def broken(*_):
        raise RuntimeError("no such kernel\nmore")
        yield

    monkeypatch.setattr(gpu, "speed", broken)
    plan = Plan(whole=(), compiled=(), training=(), speeds=("float32",))
    found = report(plan, CPU, checkout, lambda _: None, ("parity", "speed"))
    assert found["speed"] == [{"failed": "no such kernel"}]
    assert found["parity"] and "speed ended early: no such kernel" in page(found)


def test_a_way_that_does_not_run_here_is_a_row(monkeypatch):
    def without(function, mode):
        raise ModuleNotFoundError("No module named 'triton'\nmore")

    monkeypatch.setattr(torch, "compile", without)
    model = lively(motion.build("fomm", **SHAPE))
    rows = list(ways(model, 1, ("default",), 1))
    assert [row["mode"] for row in rows] == ["none", "default"]
    assert rows[0]["rate"] > 0 and rows[0]["error"] == 0
    assert rows[1]["failed"] == "No module named 'triton'"


def test_a_section_whose_process_dies_loses_nothing_of_the_others(monkeypatch, checkout):
    began: list[str] = []

    def run(command, **_):
        name = command[command.index("--section") + 1]
        began.append(name)
        if name == "whole":
            return subprocess.CompletedProcess(command, -11)
        if name == "speed":
            raise subprocess.TimeoutExpired(command, 1)
        file = next(checkout.glob("gpu-*.json"))
        sections.keep(file, sections.read(file), {name: [{"family": name, "waits": 0}]})
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(sections.subprocess, "run", run)
    file = measure_device(checkout, CPU, 1, None, checkout)
    found = sections.read(file.with_suffix(".json"))
    assert began == list(SECTIONS)
    assert found["whole"] == [{"failed": "its process ended with -11"}]
    assert "was stopped" in found["speed"][0]["failed"]
    assert found["parity"] and found["training"] and found["left_out"] == []
    assert "waits inside a batch of a network: at most 0 | 0 | yes" in file.read_text()


def test_a_section_by_itself_leaves_the_others_as_they_were(monkeypatch, checkout):
    monkeypatch.setattr(sections.Plan, "small", lambda minutes: PLAN)
    first = measure_device(checkout, CPU, 1, "parity", checkout).with_suffix(".json")
    second = measure_device(checkout, CPU, 1, "training", checkout).with_suffix(".json")
    found = sections.read(second)
    assert first == second and found["parity"] and found["training"]
    assert found["left_out"] == [] and found["speed"] == []


def test_marks_are_met_missed_or_not_measured():
    fast = {
        "family": "fomm",
        "path": "float16",
        "batch": 16,
        "size": 256,
        "ratio": 20.0,
        "share": 0.3,
    }
    waits = [{"family": "fomm", "waits": 2}, {"family": "face", "waits": 90}]
    found = {"speed": [fast], "whole": [], "waits": waits}
    found["parity"] = [{"dtype": "float32", "error": 1e-3}, {"dtype": "float16", "error": 1.0}]
    assert [row["met"] for row in marks(found)] == [True, False, None, False, True]
    assert [row["found"] for row in marks(found)] == [20.0, 0.3, None, 2, 1e-3]


def test_the_readmes_section_is_made_of_a_report():
    row = {"family": "fomm", "size": 256, "batch": 1, "share": 0.3, "memory": 2.0, "each": {}}
    rows = [
        row | {"path": path, "rate": rate, "ratio": ratio}
        for path, rate, ratio in (("plain", 30.0, 1.0), ("float16", 900.0, 30.0))
    ]
    whole = {"model": "face", "height": 1080, "width": 1920, "rate": 101.5, "memory": 1.0}
    found = {"machine": "A Card", "speed": rows, "whole": [whole, {"failed": "why"}], "waits": []}
    found["parity"] = []
    found["marks"] = marks(found)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    made = in_readme(readme, found, "gpu-a-card")
    assert "Measured on A Card; [all of it](benchmarks/results/gpu-a-card.md)" in made
    assert "| fomm | 256 | float16 | 1 | 900 | 30 |" in made and "| plain |" not in made
    assert "101.5" in made and "not measured" in made and "Nothing was measured" not in made
    assert in_readme(made, found, "gpu-a-card") == made
    with pytest.raises(InputError, match="no place"):
        in_readme("# Another", found, "gpu-a-card")
