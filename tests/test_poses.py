"""Poses as a document: keys and names come back; the page eases as the library does."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from pytest import approx

import comfyui_motion as motion
from comfyui_motion.dials import Dials
from comfyui_motion.poses import Poses

WEB = Path(__file__).parents[1] / "web"
HEAD = {"format": "comfyui_motion.poses", "version": 1}


def test_nothing_written_is_a_face_at_rest():
    assert Poses.from_json(" ").frames(3) == [Dials()] * 3


def test_poses_come_back_from_their_document():
    made = Poses({0: Dials(), 12: Dials(smile=0.5, gaze=(0.2, 0.0))}, {"mine": Dials(yaw=9)})
    again = Poses.from_json(made.to_json())
    assert again == made and again.length == 13


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "not JSON"),
        ({"version": 2}, "JSON object whose"),
        ({"keys": [1]}, "dials by frame"),
        ({"keys": {"-1": {}}}, "number frames"),
        ({"keys": {"0": {"smile": "much"}}}, "is a number"),
        ({"keys": {"0": {"tail": 1}}}, "no dial 'tail'"),
        ({"keys": {"0": {"smile": 9}}}, "goes from -1 to 1"),
    ],
)
def test_a_document_of_another_kind_is_one_sentence(document, says):
    text = document if isinstance(document, str) else json.dumps(HEAD | document)
    with pytest.raises(motion.InputError, match=says):
        Poses.from_json(text)


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_the_page_eases_as_the_library_does(tmp_path):
    made = Poses({2: Dials(smile=1), 7: Dials(yaw=20), 9: Dials(smile=-0.5)})
    script = f"""
        import {{ read, at, DIALS }} from {json.dumps((WEB / "poses.js").as_uri())};
        const poses = read({json.dumps(made.to_json())});
        const all = (dials) => DIALS.map(([name]) => [name, dials[name] ?? 0]);
        const frames = [...Array(12).keys()].map((frame) => at(poses, frame));
        console.log(JSON.stringify(frames.map((pose) => Object.fromEntries(all(pose)))));
    """
    (tmp_path / "run.mjs").write_text(script)
    found = subprocess.run(["node", tmp_path / "run.mjs"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    for shown, wanted in zip(json.loads(found.stdout), made.frames(12), strict=True):
        assert shown == approx(wanted.numbers(), abs=1e-9)
