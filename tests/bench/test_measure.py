"""The measure of speed: the plain loop is the same network, and the table says what was
measured.
"""

from __future__ import annotations

import json

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.bench import measure as bench
from comfyui_motion.bench.lively import clip, lively, pictures
from comfyui_motion.cli import main
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

SMALL = HourglassShape(8, 32, 2)
SHAPE = {"detector": SMALL, "dense": SMALL, "body": BodyShape(16, 32, 2, 1), "size": 64}


@torch.no_grad()
def test_the_plain_loop_gives_what_the_verbs_give():
    model = lively(motion.build("fomm", **SHAPE))
    source, driving = pictures(1, 64, torch.Generator().manual_seed(0)), clip(3, 64)
    assert_close(
        bench.PlainLoop(model)(source, driving),
        bench.OurPath(model, 2)(source, driving),
        atol=1e-4,
        rtol=0,
    )


@torch.no_grad()
def test_a_lively_network_moves_and_hides():
    model = lively(motion.build("fomm", **SHAPE))
    portrait = model.encode(pictures(1, 64, torch.Generator().manual_seed(0)))
    field = model.motion(portrait, model.detect(clip(2, 64)))
    assert (field.grid - motion.MotionField.identity(2, *field.size).grid).abs().mean() > 0.05
    assert field.occlusion[-1].std() > 0.05


def test_every_path_is_measured_and_written_down(tmp_path, monkeypatch, capsys):
    found = list(bench.measure("fomm", runs=1, batch=2, **SHAPE))
    assert [m.path for m in found] == ["plain", "float32", "bfloat16"]
    assert found[0].ratio == 1 and found[1].error < 1e-3 and found[2].psnr > 35
    assert found[1].gflop < found[0].gflop, "encoding once and folding leaves less to compute"
    monkeypatch.setattr(bench, "measure", lambda *args: found)
    assert main(["bench", "fomm", "-o", str(tmp_path), "--device", "cpu"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"cpu.md", "cpu.json", "cpu.png"}
    assert f"{torch.get_num_threads()} threads" in (tmp_path / "cpu.md").read_text()
    assert len(json.loads((tmp_path / "cpu.json").read_text())["measured"]) == 3
    assert "fomm plain" in capsys.readouterr().out


def test_an_unknown_family_is_refused(capsys):
    assert main(["bench", "nonesuch", "--device", "cpu"]) == 2
    assert "nonesuch" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_peak_is_of_this_machine(dtype):
    assert bench.peak(dtype, torch.device("cpu")) > 0.1
