"""Whether a result does what its driver does: on readings that are known, and on the drawn face."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import comfyui_motion as motion
from comfyui_motion.cli import main
from comfyui_motion.evaluation.likeness import Table, compared, likeness, telling
from comfyui_motion.networks.face.readings import Readings
from comfyui_motion.registry import face_finder

ROOT = Path(__file__).parents[2]


def readings(mouth, lids=None, yaw=None, found=None):
    mouth = torch.tensor(mouth)
    lids = torch.full((len(mouth), 2), 0.3) if lids is None else torch.tensor(lids)
    angles = torch.zeros(len(mouth), 3)
    if yaw is not None:
        angles[:, 0] = torch.tensor(yaw)
    found = torch.ones(len(mouth), dtype=torch.bool) if found is None else torch.tensor(found)
    return Readings(mouth, lids, angles, found)


STILL = readings([0.02])


def test_a_result_that_does_as_its_driver_has_no_error():
    driver = readings([0.0, 0.1, 0.3, 0.0, 0.0], yaw=[0.0, 5.0, -5.0, 3.0, -3.0])
    result = readings([0.02, 0.12, 0.32, 0.02, 0.02], yaw=[9.0, 14.0, 4.0, 12.0, 6.0])
    row = compared("m", "p", STILL, driver, result)
    assert row.mouth == pytest.approx(0, abs=1e-6) and row.yaw == pytest.approx(0, abs=1e-5)
    assert row.mouth_correlation == pytest.approx(1) and row.yaw_correlation == pytest.approx(1)
    assert row.seen == 1


def test_a_still_result_is_off_by_what_the_driver_does():
    driver = readings([0.0, 0.0, 0.3, 0.0], lids=[[0.3, 0.3], [0.0, 0.3], [0.3, 0.3], [0.3, 0.3]])
    row = compared("m", "p", STILL, driver, readings([0.02] * 4))
    assert row.mouth == pytest.approx(0.075) and row.mouth_correlation == 0
    assert row.lids == pytest.approx(1 / 8)


def test_frames_in_which_a_face_is_lost_are_counted():
    driver = readings([0.0, 0.1, 0.2, 0.3])
    row = compared("m", "p", STILL, driver, readings([0.0] * 4, found=[True, True, False, False]))
    assert row.seen == 0.5


def test_the_moments_shown_are_the_extremes():
    lids = [[0.3, 0.3], [0.3, 0.3], [0.05, 0.3], [0.3, 0.3]]
    driver = readings([0.0, 0.4, 0.1, 0.0], lids=lids, yaw=[20.0, 0.0, 0.0, -20.0])
    assert telling(driver) == [1, 2, 0, 3]


def test_a_drawn_face_moved_by_itself_does_what_it_does():
    picture = motion.read_picture(ROOT / "samples" / "source.png")[:, :3]
    small = F.interpolate(picture, size=200, mode="area")
    clip = torch.cat([small.roll(2 * i, dims=-1) for i in range(3)])
    flow = motion.build("flow", detail=160, size=200)
    row, sheet = likeness(flow, face_finder(), small, clip, "flow", "self")
    assert row.seen == 1 and row.mouth < 0.03 and row.yaw < 3
    assert sheet.shape[0] == 1 and "flow" in Table([row]).text()


def test_the_command_writes_table_numbers_and_sheets(tmp_path, capsys):
    picture = motion.read_picture(ROOT / "samples" / "source.png")[:, :3]
    small = F.interpolate(picture, size=160, mode="area")
    motion.write_picture(small, tmp_path / "ida.png")
    for i in range(2):
        (tmp_path / "clip").mkdir(exist_ok=True)
        motion.write_picture(small.roll(i, dims=-1), tmp_path / "clip" / f"{i:03}.png")
    (tmp_path / "pairs.csv").write_text("source,driving\nida.png,clip\n")
    words = ["evaluate", "flow", "--pairs", tmp_path / "pairs.csv", "--out", tmp_path / "out"]
    assert main([str(word) for word in words]) == 0
    assert "ida by clip" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "out" / "likeness.json").read_text())["rows"]
    assert row["frames"] == 2 and (tmp_path / "out" / "flow-ida-by-clip.png").exists()


def test_what_shows_no_face_is_said():
    blank = torch.zeros(1, 3, 40, 40)
    with pytest.raises(motion.InputError, match="no face in the picture"):
        likeness(motion.load("flow"), face_finder(), blank, torch.zeros(2, 3, 40, 40))
