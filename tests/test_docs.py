"""What the pages say of the code is made from the code."""

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from torch.nn.functional import interpolate

import comfyui_motion as motion
from comfyui_motion import cli

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs" / "make.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_room_is_in_the_picture_and_says_what_it_is_for(make):
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert make.room_table() in page, "python docs/make.py writes it anew"
    assert make.diagram() in page, "python docs/make.py draws it anew"


def test_an_arrow_goes_from_a_room_to_those_it_imports(make):
    drawn = make.diagram()
    assert "    networks --> geometry" in drawn and "    geometry --> networks" not in drawn


def test_a_page_s_part_is_written_between_its_marks_and_nowhere_else(make, tmp_path):
    page = shutil.copy(ROOT / "docs" / "architecture.md", tmp_path)
    before = Path(page).read_text(encoding="utf-8")
    assert make.put(Path(page), "rooms", "another table")
    after = Path(page).read_text(encoding="utf-8")
    assert "another table" in after and before.split("<!-- rooms -->")[0] in after
    assert (
        make.put(Path(page), "rooms", make.room_table())
        and Path(page).read_text(encoding="utf-8") == before
    )


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_readme_runs():
    side = {"size": (160, 160), "mode": "bilinear", "antialias": True}
    source = interpolate(motion.read_picture(ROOT / "samples" / "source.png")[:, :3], **side)
    clip = motion.read_video(ROOT / "samples" / "driving.mp4", start=10, stop=12)
    driving = interpolate(clip.frames(), **side)
    names = {"source": source, "driving": driving, "camera_frame": driving[:1]}
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(block, names)  # noqa: S102 -- our own page
    assert names["frames"].shape == (2, 3, 160, 160) and names["frame"].shape == source.shape
    assert not torch.equal(names["smiling"].position, names["portrait"].keypoints.position)


def test_the_readme_tells_every_command_as_it_is_given():
    lines = [shlex.split(line, comments=True) for line in README.splitlines() if "omfyui-m" in line]
    told = [line[1:] for line in lines if line[:1] == ["comfyui-motion"]]
    for line in told:
        cli.parser().parse_args(line)
    assert {line[0] for line in told} == set(cli.COMMANDS)


def test_the_readme_names_every_node():
    ids = {
        found
        for path in (ROOT / "nodes").glob("*.py")
        for found in re.findall(r'node_id="(CM_\w+)"', path.read_text(encoding="utf-8"))
    }
    assert ids == set(re.findall(r"`(CM_\w+)`", README))
