"""A family is a file, a card and a word: one can be deleted, and one can be added as
the page says.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITHOUT = """
import importlib, pkgutil, sys
import torch
import comfyui_motion as motion
from comfyui_motion import catalogue, registry
from comfyui_motion.bench.measure import measurable, usual
from comfyui_motion.cli import main
from comfyui_motion.training.recipe import presets, read_recipe
from comfyui_motion.training.objective import check

gone = sys.argv[1]
assert motion.__file__.startswith(sys.argv[2]), motion.__file__
for module in pkgutil.walk_packages(motion.__path__, "comfyui_motion."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert gone not in motion.families() and gone not in measurable() + usual()
assert all(registry.family(name).name == name for name in motion.families())
assert all(entry.family != gone for entry in catalogue.entries())
assert presets() and all(read_recipe(name).family != gone for name in presets())
assert main(["models"]) == 0
small = motion.build("flow", detail=96, lattice=24, size=96)
frames = torch.cat(list(motion.animate(small, torch.rand(1, 3, 64, 64), torch.rand(2, 3, 64, 64))))
assert frames.shape == (2, 3, 64, 64)
"""
WITH = """
import sys
import torch
import comfyui_motion as motion
from comfyui_motion import Options
from comfyui_motion.cli import main
from comfyui_motion.training.objective import check
from comfyui_motion.training.recipe import Stage

assert motion.__file__.startswith(sys.argv[1]), motion.__file__
torch.manual_seed(0)
model, path = motion.build("toy", keypoints=3), sys.argv[1] + "/toy.safetensors"
motion.save(model, path)
again = motion.load(path, device="cpu", temperature=0.2)
assert again.family == "toy" and again.spec.keypoints == 3 and again.spec.temperature == 0.2
assert main(["inspect", path]) == 0
source, clip = torch.rand(1, 3, 90, 70), torch.rand(4, 3, 40, 50)
options = Options(size="source", subject=(5, 5, 65, 85), batch_size=2)
frames = torch.cat([step.frames for step in motion.perform(again, source, clip, options)])
assert frames.shape == (4, 3, 90, 70)
assert (frames[0] - source[0]).abs().max() < 1e-4 and (frames[1:] - source).abs().max() > 0.01
check(model, Stage({"pyramid": 1.0, "heatmaps": 1.0}, steps=1))
try:
    check(model, Stage({"occlusion": 1.0}, steps=1))
except motion.InputError as error:
    assert "toy model has no occlusion" in str(error)
else:
    raise AssertionError("a loss that cannot be had")
"""


@pytest.fixture
def house(tmp_path):
    """A copy of the library, without what it was run with."""
    leave = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(ROOT / "comfyui_motion", tmp_path / "comfyui_motion", ignore=leave)
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=leave)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def run(code: str, house: Path, *arguments: str) -> None:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=house, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["fomm", "tpsmm"])
def test_nothing_breaks_where_a_family_is_deleted(name, house):
    (house / "comfyui_motion" / "networks" / f"{name}.py").unlink()
    for card in (house / "models").glob(f"{name}.*"):
        card.unlink()
    change(house / "comfyui_motion" / "registry.py", f'    "{name}",\n', "")
    run(WITHOUT, house, name, str(house))


def test_a_family_is_added_as_the_page_says(house):
    page = (ROOT / "docs" / "add-a-family.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (house / "comfyui_motion" / "networks" / "toy.py").write_text(code, encoding="utf-8")
    change(house / "comfyui_motion" / "registry.py", "FAMILIES = (\n", 'FAMILIES = (\n    "toy",\n')
    run(WITH, house, str(house))
