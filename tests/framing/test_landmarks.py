"""What points tell of a subject: its place, its size, whether it is a face, how it is posed."""

import math

import pytest
import torch
from torch.testing import assert_close

from comfyui_motion.framing.landmarks import ANY, FACE, layout_of

REST = torch.tensor(FACE.rest)[None]


def turned(points: torch.Tensor, angle: float) -> torch.Tensor:
    matrix = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return points @ matrix.T


def test_the_usual_face_is_centred_and_of_size_one():
    centre, size = FACE.measure(REST)
    assert_close(centre, torch.zeros(1, 1, 2), atol=0.02, rtol=0)
    assert_close(size, torch.ones(1, 1, 1), atol=0.05, rtol=0)


def test_a_mirror_leaves_the_usual_face_as_it_is():
    mirrored = (REST * torch.tensor([-1.0, 1.0]))[:, list(FACE.mirror)]
    assert_close(mirrored, REST, atol=0.03, rtol=0)


@pytest.mark.parametrize("layout", [FACE, ANY], ids=["face", "any"])
def test_the_square_goes_along_with_its_points(layout):
    points = REST * 30 + torch.tensor([200.0, 100.0])
    x, y, side = layout.square(points)[0].tolist()
    moved = layout.square(points * 2 + torch.tensor([10.0, -5.0]))[0].tolist()
    assert moved == pytest.approx([2 * x + 10, 2 * y - 5, 2 * side], rel=1e-4)


def test_only_what_lies_as_a_face_is_like_one():
    torch.manual_seed(0)
    assert FACE.likeness(REST * 40 + 300) > 0.99
    assert FACE.likeness(turned(REST, 0.5)) > 0.95
    for other in (
        turned(REST, math.pi),
        turned(REST, 1.5),
        torch.randn(1, 20, 2),
        torch.zeros(1, 20, 2),
        REST[:, list(FACE.mirror)],
    ):
        assert FACE.likeness(other) < 0.5
    assert ANY.likeness(torch.randn(1, 7, 2)) == 1


def test_a_layout_is_told_by_its_number_of_points():
    assert layout_of(torch.zeros(3, 20, 2)) is FACE and layout_of(torch.zeros(10, 2)) is ANY


@pytest.mark.parametrize("layout", [FACE, ANY], ids=["face", "any"])
def test_a_pose_does_not_tell_place_or_size(layout):
    assert_close(
        layout.pose(REST * 25 + torch.tensor([70.0, -40.0])),
        layout.pose(REST),
        atol=1e-4,
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    ("number", "change", "number_of_pose"),
    [
        (13, (0.3, 0.0), 0),
        (13, (0.0, 0.4), 1),
        (11, (0.0, 0.5), 3),
        (4, (0.0, 0.2), 4),
        (5, (0.0, 0.2), 5),
        (9, (0.5, 0.0), 7),
    ],
    ids=["turn", "nod", "open mouth", "open left eye", "open right eye", "wide mouth"],
)
def test_what_a_face_does_is_told_where_it_belongs(number, change, number_of_pose):
    moved = REST.clone()
    moved[0, number] += torch.tensor(change)
    told = FACE.pose(moved) - FACE.pose(REST)
    assert told[0].abs().argmax() == number_of_pose and told[0, number_of_pose] > 0.5


def test_a_tilt_is_a_tilt_and_nothing_else():
    told = (FACE.pose(turned(REST, 0.3)) - FACE.pose(REST))[0]
    assert_close(told[2], torch.tensor(0.3 / 0.15), atol=1e-3, rtol=0)
    assert torch.cat([told[:2], told[3:]]).abs().max() < 1e-3
