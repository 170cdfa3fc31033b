"""The default model end to end: rates by size, and what each step takes of a frame."""

from __future__ import annotations

from pathlib import Path

from comfyui_motion.bench import faces
from comfyui_motion.cli import main

SAMPLES = Path(__file__).parents[2] / "samples"


def test_the_default_is_measured_by_size_and_by_step(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(faces, "SIZES", (((64, 96), 3),))
    monkeypatch.setattr(faces, "MODELS", {"face": 1})
    told = ["bench", "--faces", SAMPLES / "source.png", SAMPLES / "driving.mp4", "-o", tmp_path]
    assert main([str(word) for word in told]) == 0
    page = (tmp_path / "faces.md").read_text()
    rows = [
        line.split(" | ") for line in page.splitlines() if line.startswith(("| face", "| flow"))
    ]
    assert [(row[0], int(row[2])) for row in rows] == [("| face", 3)]
    assert all(float(row[3]) > 0 for row in rows)
    for step in ("read", "encode the picture, once", "follow", "carry", "move", "paint", "write"):
        assert f"| {step}" in page
    assert "frames a second" in capsys.readouterr().out
