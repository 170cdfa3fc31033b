"""Keypoints travel unchanged: sliced, joined, smoothed, written and read."""

import json

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import InputError, Keypoints


def some(frames: int = 5, points: int = 3) -> Keypoints:
    torch.manual_seed(0)
    return Keypoints(
        torch.rand(frames, points, 2) * 2 - 1,
        torch.randn(frames, points, 2, 2),
        None,
        torch.rand(frames, points),
    )


def test_json_returns_the_same_keypoints():
    points = some()
    again = Keypoints.from_json(points.to_json())
    assert [name for name, _ in again.present()] == ["position", "jacobian", "confidence"]
    for name, value in points.present():
        assert torch.equal(getattr(again, name), value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "not JSON"),
        ("[1, 2]", "no keypoints"),
        ('{"format": "comfyui_motion.keypoints", "version": 99, "position": []}', "version 99"),
        (
            '{"format": "comfyui_motion.keypoints", "version": 1, "position": [[[0, 1], [0]]]}',
            "even lists",
        ),
    ],
)
def test_json_of_another_kind_is_refused_in_a_sentence(text, says):
    with pytest.raises(InputError, match=says):
        Keypoints.from_json(text)


def test_json_is_plain_and_versioned():
    document = json.loads(some(1, 2).to_json())
    assert document["version"] == 1 and len(document["position"][0]) == 2


def test_joining_the_slices_returns_the_whole():
    points = some()
    again = Keypoints.join([points[:2], points[2], points[3:]])
    for name, value in points.present():
        assert torch.equal(getattr(again, name), value)


def test_an_integer_keeps_the_batch_dimension():
    points = some()
    assert len(points[0]) == len(points[-1]) == 1
    assert torch.equal(points[-1].position, points.position[-1:])


def test_keypoints_of_different_kinds_do_not_join():
    with pytest.raises(InputError, match="same tensors"):
        Keypoints.join([some(), Keypoints(torch.zeros(1, 3, 2))])


def test_still_points_stay_where_they_are_when_smoothed():
    still = some(1).map(lambda value: value.expand(9, *value.shape[1:]).clone())
    assert_close(still.smooth(2.0).position, still.position)


def test_smoothing_takes_jitter_out_and_leaves_the_drift():
    time = torch.arange(60.0)
    jitter = 0.05 * (-1) ** time
    position = torch.stack([time / 60 + jitter, torch.zeros(60)], dim=-1)[:, None]
    smooth = Keypoints(position).smooth(2.0).position[10:-10, 0, 0]
    assert (smooth - time[10:-10] / 60).abs().max() < 0.002


def test_a_wrong_shape_is_refused_by_name():
    with pytest.raises(InputError, match="position must have the shape B K 2"):
        Keypoints(torch.zeros(3, 2))
    with pytest.raises(InputError, match="jacobian is for"):
        Keypoints(torch.zeros(1, 3, 2), torch.zeros(1, 4, 2, 2))


def test_keypoints_are_float32_whatever_the_network_is():
    assert Keypoints(torch.zeros(1, 3, 2, dtype=torch.bfloat16)).position.dtype == torch.float32
