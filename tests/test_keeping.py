"""Keypoints in files come back to the bit, of their own kind."""

from __future__ import annotations

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion.keeping import kinds, load_keypoints, save_keypoints


@pytest.fixture
def points() -> motion.Keypoints:
    torch.manual_seed(0)
    return motion.Keypoints(
        torch.rand(3, 5, 2), torch.rand(3, 5, 2, 2), confidence=torch.rand(3, 5)
    )


def test_what_is_saved_comes_back_to_the_bit(points, tmp_path):
    again = load_keypoints(save_keypoints(points, tmp_path / "points.safetensors"))
    assert [name for name, _ in again.present()] == [name for name, _ in points.present()]
    for name, value in points.present():
        assert torch.equal(getattr(again, name), value), name


def test_a_familys_own_kind_comes_back_as_that_kind(tmp_path):
    (kind,) = [kind for kind in kinds() if kind.__name__ == "FlowKeypoints"]
    found = kind(torch.rand(2, 9, 2), light=torch.rand(2, 1, 4, 5))
    again = load_keypoints(save_keypoints(found, tmp_path / "lattice.safetensors"))
    assert type(again) is type(found) and torch.equal(again.light, found.light)


def test_another_ending_is_refused(points, tmp_path):
    with pytest.raises(motion.InputError, match=r"let points\.json end in"):
        save_keypoints(points, tmp_path / "points.json")


@pytest.mark.parametrize(
    ("tensors", "words", "says"),
    [
        ({"position": torch.rand(1, 2, 2)}, {}, "holds no keypoints"),
        ({"place": torch.rand(1, 2, 2)}, {"kind": "Keypoints"}, "save them again"),
        (
            {"position": torch.rand(2, 2, 2), "confidence": torch.rand(1, 2)},
            {"kind": "Keypoints"},
            "as the others have",
        ),
        ({"position": torch.full((1, 2, 2), torch.nan)}, {"kind": "Keypoints"}, "position"),
    ],
    ids=["another kind", "other names", "uneven", "no numbers"],
)
def test_another_file_is_one_sentence(tmp_path, tensors, words, says):
    from safetensors.torch import save_file

    path = tmp_path / "some.safetensors"
    ours = {"format": "comfyui_motion.keypoints", "version": "1"} if words else {"format": "pt"}
    save_file(tensors, path, metadata=ours | words)
    with pytest.raises(motion.CheckpointError, match=says):
        load_keypoints(path)
