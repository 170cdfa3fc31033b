"""Keypoints corrected by hand: keys, pins and locks; and the page shows what the library does."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.edits import Edits, between

WEB = Path(__file__).parents[1] / "web"


@pytest.fixture
def points() -> motion.Keypoints:
    torch.manual_seed(0)
    return motion.Keypoints(torch.rand(9, 6, 2) * 1.6 - 0.8)


def test_nothing_done_changes_nothing(points):
    assert Edits.from_json("").apply(points) is points


def test_a_key_puts_its_point_there_and_the_clip_goes_on_beneath(points):
    made = Edits({2: {4: (0.5, -0.5)}}).apply(points)
    assert_close(made.position[4, 2], torch.tensor([0.5, -0.5]))
    offset = made.position[:, 2] - points.position[:, 2]
    assert_close(offset, offset[:1].expand(9, -1))
    others = [0, 1, 3, 4, 5]
    assert torch.equal(made.position[:, others], points.position[:, others])


def test_two_keys_are_eased_between_and_held_beyond():
    eased = between([2, 6], torch.tensor([0.0, 1.0]), 9)
    assert_close(eased, torch.tensor([0, 0, 0, 0.15625, 0.5, 0.84375, 1, 1, 1]))


def test_a_pinned_point_stays_where_its_first_key_has_it(points):
    made = Edits({1: {3: (0.1, 0.2)}}, pinned=frozenset({1, 5})).apply(points)
    assert_close(made.position[:, 1], torch.tensor([0.1, 0.2]).expand(9, -1))
    assert_close(made.position[:, 5], points.position[:1, 5].expand(9, -1))


def test_neighbours_come_along_as_far_as_they_are_near_and_locked_ones_do_not():
    grid = torch.linspace(-1, 1, 5)
    position = torch.stack([grid, torch.zeros(5)], dim=-1)[None]
    made = Edits({2: {0: (0.0, 0.4)}}, locked=frozenset({1}))
    lifted = made.apply(motion.Keypoints(position), reach=0.8).position[0, :, 1]
    assert_close(lifted[2], torch.tensor(0.4))
    assert lifted[1] == 0 and 0.1 < lifted[3] < 0.4 and 0 < lifted[4] < 0.05


def test_edits_come_back_from_their_document(points):
    made = Edits({2: {4: (0.5, -0.5)}, 0: {1: (0.0, 0.1)}}, frozenset({3}), frozenset({5}))
    again = Edits.from_json(made.to_json())
    assert again.keys == made.keys and again.pinned == {3} and again.locked == {5}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object whose"),
        ({"keys": [1]}, "point, frame, place"),
        ({"keys": {"a": {"0": [0, 0]}}}, "number points and frames"),
        ({"keys": {"0": {"0": [0]}}}, r"at \[x, y\]"),
        ({"keys": {"0": {"0": [0, 1e9]}}}, r"at \[x, y\]"),
    ],
)
def test_a_document_of_another_kind_is_one_sentence(document, says):
    head = {"format": "comfyui_motion.edits", "version": 1}
    text = document if isinstance(document, str) else json.dumps(head | document)
    with pytest.raises(motion.InputError, match=says):
        Edits.from_json(text)


@pytest.mark.parametrize(
    ("keys", "says"),
    [({9: {0: (0.0, 0.0)}}, "point 9, and there are 6"), ({0: {50: (0.0, 0.0)}}, "at frame 50")],
)
def test_edits_of_another_clip_are_refused(points, keys, says):
    with pytest.raises(motion.InputError, match=says):
        Edits(keys).apply(points)


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_the_page_shows_what_the_library_does(points, tmp_path):
    made = Edits({2: {1: (0.5, -0.5), 6: (0.2, 0.3)}, 4: {3: (-0.4, 0.0)}}, frozenset({5}))
    clip = json.dumps(points.position.tolist())
    script = f"""
        import {{ read, placed }} from {json.dumps((WEB / "edits.js").as_uri())};
        const edits = read({json.dumps(made.to_json())}), clip = {clip};
        console.log(JSON.stringify(clip.map((_, frame) => placed(edits, clip, frame, 0.5))));
    """
    (tmp_path / "run.mjs").write_text(script)
    found = subprocess.run(["node", tmp_path / "run.mjs"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert_close(torch.tensor(json.loads(found.stdout)), made.apply(points, 0.5).position)
