"""The walls in pyproject.toml stand, and fall over where a room that they name is gone."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(sys.argv[1]))"


def lint(config: Path) -> subprocess.CompletedProcess:
    pytest.importorskip("importlinter")
    command = [sys.executable, "-c", CODE, str(config)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_every_wall_stands():
    done = lint(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", ["geometry", "training"])
def test_a_wall_falls_over_where_a_room_it_names_is_gone(room, tmp_path):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = f'"comfyui_motion.{room}"'
    assert named in text
    config = tmp_path / "pyproject.toml"
    config.write_text(text.replace(named, f'"comfyui_motion.{room}_gone"'), encoding="utf-8")
    done = lint(config)
    assert done.returncode != 0 and f"{room}_gone" in done.stdout + done.stderr


def test_a_wall_falls_over_where_it_is_broken(tmp_path):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    config = tmp_path / "pyproject.toml"
    wrong = text.replace('"comfyui_motion.field",\n', '"comfyui_motion.errors",\n', 1)
    wrong = wrong.replace(
        'source_modules = ["comfyui_motion.geometry"]',
        'source_modules = ["comfyui_motion.framing"]',
    )
    config.write_text(wrong, encoding="utf-8")
    done = lint(config)
    assert done.returncode != 0 and "comfyui_motion.framing" in done.stdout
