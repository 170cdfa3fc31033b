"""Curves: read from a log, on scales with whole numbers."""

from __future__ import annotations

import pytest
from PIL import Image

from comfyui_motion.training.plot import (
    plot_losses,
    read_log,
    smoothed,
    whole_step,
)

LOG = "step,stage,lr,total,flow,held_out_l1\n10,a,0.1,2.0,,\n20,b,0.1,0.02,0.5,\n20,,,,,0.3\n"


def test_a_log_is_read_by_columns(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    assert read_log(tmp_path / "log.csv") == {
        "total": [(10, 2.0), (20, 0.02)],
        "flow": [(20, 0.5)],
        "held_out_l1": [(20, 0.3)],
    }


@pytest.mark.parametrize(
    ("span", "step"), [(1, 1), (7, 1), (8, 2), (590, 100), (4000, 1000), (25000, 5000)]
)
def test_ticks_are_at_whole_numbers(span, step):
    assert whole_step(span) == step


def test_long_logs_are_smoothed_and_short_ones_are_not():
    assert smoothed([(1, 3.0), (2, 5.0)]) == [(1, 3.0), (2, 5.0)]
    zigzag = smoothed([(i, float(i % 2)) for i in range(100)])
    assert zigzag[-1] == (99, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        LOG,
        "step,stage,lr,total\n",
        "step,stage,lr,total\n1,a,0.1,0.0\n",
        "step,stage,lr,total\n1,a,0.1,3.0\n",
    ],
)
def test_any_log_can_be_drawn(text, tmp_path):
    (tmp_path / "log.csv").write_text(text)
    plot_losses(tmp_path / "log.csv", tmp_path / "losses.png")
    with Image.open(tmp_path / "losses.png") as image:
        drawn = len(image.convert("RGB").getcolors(1 << 20)) > 1
    assert drawn == any(character in text for character in ("2.0", "3.0"))
    assert {entry.name for entry in tmp_path.iterdir()} == {"log.csv", "losses.png"}
