"""The report of a device, proven on the CPU with small networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from comfyui_motion import InputError
from comfyui_motion.bench import gpu
from comfyui_motion.bench.gpu import Plan, report
from comfyui_motion.bench.report import in_readme, marks, page
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

ROOT = Path(__file__).parents[2]
SMALL = HourglassShape(8, 32, 2)
SHAPE = {"detector": SMALL, "dense": SMALL, "body": BodyShape(16, 32, 2, 1), "size": 64}
PLAN = Plan(
    families=("fomm",),
    sizes=(64,),
    batches=(1, 2),
    speeds=("float32",),
    runs=1,
    compiled=(),
    whole=((64, 48),),
    frames=2,
    training=("fomm",),
    steps=3,
    parameters=SHAPE,
)


@pytest.fixture
def one_golden(tmp_path):
    (tmp_path / "fomm").symlink_to(ROOT / "tests" / "golden" / "fomm")
    return tmp_path


def test_every_section_is_measured(one_golden):
    told: list[str] = []
    found = report(PLAN, torch.device("cpu"), one_golden, ROOT / "samples", told.append)
    failed = [
        row
        for name in ("parity", "whole", "speed", "training", "waits")
        for row in found[name]
        if "failed" in row
    ]
    assert failed == [] and found["left_out"] == []
    exact = [row for row in found["parity"] if row["dtype"] == "float32"]
    assert exact and all(row["error"] < 1e-3 for row in exact)
    assert {row["model"] for row in found["whole"]} == {"face", "flow"}
    assert {(row["path"], row["batch"]) for row in found["speed"]} == {
        ("plain", 1),
        ("float32", 1),
        ("float32", 2),
    }
    assert found["training"][0]["rate"] > 0
    assert found["waits"][0]["waits"] <= 2  # the look at what comes in, which a GPU is spared
    assert "fomm" in page(found) and len(told) > 5


def test_every_recorded_family_is_met():
    rows = list(gpu.parity(ROOT / "tests" / "golden", torch.device("cpu"), ("float32",)))
    families = {"copart", "fomm", "liveportrait", "monkeynet", "mraa", "tpsmm", "x2face-small"}
    assert {row["case"] for row in rows} == families
    assert all(row["error"] < 3e-3 for row in rows)


def test_what_the_time_does_not_reach_is_named(one_golden):
    plan = Plan(minutes=0, speeds=("float32",))
    found = report(plan, torch.device("cpu"), one_golden, ROOT / "samples", lambda _: None)
    assert found["left_out"] == ["parity", "whole", "speed", "waits", "compiled", "training"]
    assert "Not reached in the time given: parity" in page(found)


def test_a_failure_ends_its_section_alone(monkeypatch, one_golden):
    def broken(*_):
        raise RuntimeError("no such kernel\nmore")
        yield

    monkeypatch.setattr(gpu, "speed", broken)
    plan = Plan(families=(), whole=(), training=(), compiled=(), speeds=("float32",))
    found = report(plan, torch.device("cpu"), one_golden, ROOT / "samples", lambda _: None)
    assert found["speed"] == [{"failed": "no such kernel"}]
    assert found["parity"]


def test_marks_are_met_missed_or_not_measured():
    fast = {
        "family": "fomm",
        "path": "float16",
        "batch": 16,
        "size": 256,
        "ratio": 20.0,
        "share": 0.3,
    }
    found = {"speed": [fast], "whole": [], "waits": [{"waits": 2}]}
    assert [row["met"] for row in marks(found)] == [True, False, None, False]


def test_the_readmes_section_is_made_of_a_report():
    row = {"family": "fomm", "size": 256, "batch": 1, "share": 0.3, "memory": 2.0, "each": {}}
    rows = [
        row | {"path": path, "rate": rate, "ratio": ratio}
        for path, rate, ratio in (("plain", 30.0, 1.0), ("float16", 900.0, 30.0))
    ]
    whole = {"model": "face", "height": 1080, "width": 1920, "rate": 101.5, "memory": 1.0}
    found = {"machine": "A Card", "speed": rows, "whole": [whole, {"failed": "why"}], "waits": []}
    found["marks"] = marks(found)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    made = in_readme(readme, found, "gpu-a-card")
    assert "Measured on A Card; [all of it](benchmarks/results/gpu-a-card.md)" in made
    assert "| fomm | 256 | float16 | 1 | 900 | 30 |" in made and "| plain |" not in made
    assert "101.5" in made and "not measured" in made and "Nothing was measured" not in made
    assert in_readme(made, found, "gpu-a-card") == made
    with pytest.raises(InputError, match="no place"):
        in_readme("# Another", found, "gpu-a-card")
