"""Finding a subject: the drawn face that comes with the pack, somewhere in a picture or a clip."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import InputError
from comfyui_motion.framing.find import best_pose, clip_box, find_subject, follow_subject


@pytest.fixture(scope="module")
def known(finder, head):
    """The face in the head's own square, in sides."""
    return find_subject(finder, head[..., ::4, ::4]).points[:, :2] / 160


@pytest.mark.parametrize(
    ("height", "width", "left", "top", "side"),
    [(160, 160, 0, 0, 160), (300, 200, 60, 130, 110), (180, 400, 290, 20, 90)],
    ids=["filling it", "in a tall one", "aside in a wide one"],
)
def test_a_subject_is_found_wherever_it_lies(
    finder, head, placed, known, height, width, left, top, side
):
    found = find_subject(finder, placed(head, height, width, left, top, side))
    assert found is not None and found.confidence > 0.6
    wanted = known * side + torch.tensor([left, top])
    assert (found.points[:, :2] - wanted).norm(dim=1).mean() < 0.015 * side
    box = (torch.tensor(found.box).view(2, 2) - torch.tensor([left, top])) / side
    assert box[0].max() < 0.25 and box[1].min() > 0.8  # hair and ears are in it


def test_keypoints_are_the_picture_s_own(finder, head):
    found = find_subject(finder, head[..., :600:4, ::4])
    corner = torch.tensor([159.0, 149.0])  # the centre of the last pixel
    assert_close(
        (found.keypoints.position[0] + 1) / 2 * corner + 0.5, found.points[:, :2], atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("size", [(1, 1), (4, 400), (30, 20)])
def test_in_a_tiny_picture_nothing_is_found(finder, size):
    assert find_subject(finder, torch.rand(1, 3, *size)) is None


def test_a_box_or_a_number_chooses_among_several(finder, head, placed):
    pair = torch.cat([placed(head, 200, 200, 40, 40, 120), placed(head, 200, 220, 20, 0, 190)], -1)

    def middle(**how):
        return find_subject(finder, pair, **how).points[:, 0].mean()

    assert middle() > 200 and middle(number=1) < 200 < middle(number=2)
    assert middle(within=(0, 0, 210, 200)) < 200
    with pytest.raises(InputError, match="2 faces, and face 3"):
        middle(number=3)


def test_a_subject_is_followed_through_a_clip(finder, head, placed, known):
    clip = torch.cat([placed(head, 200, 240, 20 + 6 * i, 30, 140) for i in range(4)])
    poses = follow_subject(finder, clip, find_subject(finder, clip[:1]))
    assert len(poses) == 4 and poses.count == 478 and (poses.confidence == 1).all()
    moved = (poses.position[3] - poses.position[0]).mean(0) * torch.tensor([239 / 2, 199 / 2])
    assert_close(moved, torch.tensor([18.0, 0.0]), atol=1.0, rtol=0)


def test_the_box_of_a_clip_holds_its_head_in_every_frame(finder, head, placed):
    clip = torch.cat([placed(head, 200, 240, 20 + 12 * i, 30, 140) for i in range(3)])
    first, last = (find_subject(finder, clip[i : i + 1]).box for i in (0, 2))
    left, top, right, bottom = clip_box(finder, clip)
    assert left == pytest.approx(first[0], abs=3) and right == pytest.approx(last[2], abs=3)
    assert clip_box(finder, torch.rand(2, 3, 60, 60)) is None


def test_a_clip_that_begins_black_has_a_box_all_the_same(finder, head, placed):
    shown = placed(head, 160, 200, 30, 10, 140)
    assert clip_box(finder, torch.cat([0 * shown, shown])) is not None


def test_the_frame_posed_like_the_subject_is_found_whatever_place_and_size(finder, head, placed):
    subject = find_subject(finder, placed(head, 200, 200, 10, 10, 180))
    poses = torch.stack([subject.points * 0.5 + 20 for _ in range(4)])
    poses[[0, 1, 3], 14, 1] += 15.0  # the mouth is open
    seen = torch.ones(4, dtype=torch.bool)
    assert best_pose(poses, seen, subject) == 2
    seen[2] = False
    assert best_pose(poses, seen, subject) == 0


def test_flow_finds_no_faces():
    with pytest.raises(InputError, match="flow is none"):
        find_subject(motion.load("flow"), torch.rand(1, 3, 64, 64))
