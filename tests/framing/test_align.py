"""Driver and source framed so that the same points meet, and a clip that then moves the subject
wherever it lies.
"""

import logging

import kornia.geometry as K
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import (
    Keypoints,
    MotionField,
    MotionModel,
    Options,
    Portrait,
    aligned_boxes,
)
from comfyui_motion.driving import Batches
from comfyui_motion.framing.align import align, framed_as, largest_square
from comfyui_motion.framing.find import Subject, find_subject
from comfyui_motion.framing.landmarks import CHIN, CORE
from comfyui_motion.framing.plan import Framing
from comfyui_motion.preparing import frame_source


def subject(points: torch.Tensor, height: int, width: int) -> Subject:
    return Subject(points, 0.9, height, width)


def carried(points: torch.Tensor, box, onto) -> torch.Tensor:
    """Points in one box to the same places in the other."""
    box, onto, points = torch.tensor(box), torch.tensor(onto), points[:, :2]
    return (points - box[:2]) / (box[2:] - box[:2]) * (onto[2:] - onto[:2]) + onto[:2]


@pytest.mark.parametrize("wide, off", [(1.0, 0.5), (0.8, 7), (1.25, 7)])
def test_the_same_points_meet_in_the_boxes(points_at, wide, off):
    """Exactly where both faces have one shape; nearly where they do not, since a face is hardly
    stretched.
    """
    driving = subject(points_at(240, 260, 14), 480, 480)
    squeezed = points_at(0, 0, 6) * torch.tensor([wide, 1.0, 1.0])
    source = subject(squeezed + torch.tensor([500.0, 300.0, 0.0]), 1280, 720)
    ours, theirs = aligned_boxes(source, driving)
    off_by = (carried(driving.points, theirs, ours) - source.points[:, :2]).norm(dim=1)
    assert off_by[list(CORE)].max() < off
    assert ours[0] >= 0 and ours[1] >= 0 and ours[2] <= 720 and ours[3] <= 1280
    assert theirs[0] >= 0 and theirs[1] >= 0 and theirs[2] <= 480 and theirs[3] <= 480


def test_a_point_that_lies_apart_does_not_pull_the_others(points_at):
    driving, points = subject(points_at(240, 260, 14), 480, 480), points_at(360, 300, 10)
    points[CHIN, 1] += 60  # a beard taken for the chin
    laid = align(subject(points, 700, 700), driving)
    met = driving.points[:, :2] * torch.tensor(laid.scale) + torch.tensor(laid.shift)
    assert (met - points[:, :2]).norm(dim=1)[[33, 133, 263, 362, 61, 291]].max() < 4


def test_no_face_is_stretched_further_than_faces_go(points_at):
    driving = subject(points_at(240, 260, 14), 480, 480)
    squeezed = points_at(0, 0, 10) * torch.tensor([0.3, 1.0, 1.0])
    squeezed = squeezed + torch.tensor([300.0, 300.0, 0.0])
    x, y = align(subject(squeezed, 600, 600), driving).scale
    assert 0.75 - 1e-3 <= x / y < 1


def test_networks_that_work_on_squares_get_squares_within_both_pictures(points_at):
    driving = subject(points_at(240, 300, 16), 480, 480)
    source = subject(points_at(100, 200, 7), 900, 300)
    for box, width, height in zip(
        aligned_boxes(source, driving, square=True), (300, 480), (900, 480), strict=True
    ):
        left, top, right, bottom = box
        assert right - left == pytest.approx(bottom - top)
        assert left >= -1e-3 and top >= -1e-3 and right <= width + 1e-3 and bottom <= height + 1e-3


def test_a_box_given_by_hand_is_kept_and_the_other_shows_the_same(points_at):
    driving = subject(points_at(240, 260, 10), 480, 480)
    source = subject(points_at(400, 300, 5), 600, 700)
    by_hand = (300.0, 220.0, 500.0, 400.0)
    ours, theirs = framed_as(source, driving, by_hand, None)
    assert_close(torch.tensor(ours), torch.tensor(by_hand), atol=0.01, rtol=0)
    met = carried(driving.points, theirs, ours)
    assert_close(met, source.points[:, :2], atol=0.5, rtol=0)
    assert framed_as(source, driving, by_hand, (1.0, 2.0, 3.0, 4.0)) == (
        by_hand,
        (1.0, 2.0, 3.0, 4.0),
    )


def test_the_largest_square_lies_as_near_as_it_goes():
    assert largest_square((0, 0, 100, 60), (70, 10, 90, 30)) == (40, 0, 100, 60)
    assert largest_square((0, 0, 60, 100), (10, 40, 30, 60)) == (0, 20, 60, 80)


@pytest.fixture
def clip(head, placed) -> torch.Tensor:
    """A large face that goes down a little."""
    return torch.cat([placed(head, 160, 160, 20, 4 + 3 * i, 120) for i in range(3)])


@pytest.fixture
def picture(head, placed) -> torch.Tensor:
    """A small one, aside."""
    return placed(head, 160, 240, 150, 30, 70)


def test_a_small_face_aside_nods_where_it_is_and_the_rest_stays(finder, clip, picture):
    flow = motion.load("flow")
    steps = list(motion.perform(flow, picture, clip, size="source", finder=finder))
    frames, field = steps[-1].frames, steps[-1].field
    assert_close(frames[:1], picture, atol=2e-3, rtol=0)
    still = MotionField.identity(1, 160, 240).to_pixels(160, 240)
    moved = (field.to_pixels(160, 240) - still)[-1, 55:85, 175:195].flatten(0, 1).median(0).values
    assert_close(moved, torch.tensor([0.0, -6 * 70 / 120]), atol=0.7, rtol=0)
    assert_close(frames[-1, :, :, :100], picture[0, :, :, :100], atol=1e-4, rtol=0)


class Shown(MotionModel):
    """A network of one size that keeps what it was shown, and moves nothing."""

    family = "shown"

    def __init__(self) -> None:
        from types import SimpleNamespace

        super().__init__(SimpleNamespace(channels=3, size=64))
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.source, self.driving = torch.empty(0), []

    def detect(self, frames, reference=None):
        self.driving.append(frames)
        return Keypoints(torch.zeros(len(frames), 4, 2))

    def encode(self, source, placement=None):
        self.source = source
        return Portrait(source, Keypoints(torch.zeros(1, 4, 2)))

    def motion(self, portrait, pose, frames=None):
        return MotionField.identity(len(pose), 8, 8)

    def generate(self, portrait, field):
        return portrait.picture.expand(len(field), -1, -1, -1)


def test_a_network_is_shown_both_faces_alike(finder, clip, picture):
    model = Shown().eval()
    list(motion.animate(model, picture, clip, size="source", finder=finder))
    ours, theirs = (
        find_subject(finder, F.interpolate(shown, scale_factor=3.0, mode="bicubic").clamp(0, 1))
        for shown in (model.source, model.driving[0][:1])
    )
    off = (ours.points - theirs.points)[list(CORE), :2].norm(dim=1)
    assert off.mean() < 0.03 * 3 * 64


def test_boxes_given_by_hand_win(finder, clip, picture):
    by_hand = {
        "subject": (120, 20, 230, 130),
        "driving_subject": (10, 10, 150, 150),
        "size": "source",
    }
    found, given = Shown().eval(), Shown().eval()
    list(motion.animate(found, picture, clip, finder=finder, **by_hand))
    list(motion.animate(given, picture, clip, **by_hand))
    assert torch.equal(found.source, given.source) and torch.equal(
        found.driving[0], given.driving[0]
    )


def test_a_model_for_faces_brings_its_finder_and_can_do_without(finder, clip, picture):
    model = Shown().eval()
    model.finder = lambda: finder
    list(motion.animate(model, picture, clip))
    framed = model.source
    list(motion.animate(model, picture, clip, finder=finder))
    assert torch.equal(model.source, framed)
    list(motion.animate(model, picture, clip, finder=None))
    assert not torch.equal(model.source, framed)


def test_the_best_reference_frame_is_the_one_posed_like_the_source(finder, head, placed, picture):
    tilted = [K.rotate(head, torch.tensor([angle])) for angle in (24.0, 12.0, 0.0)]
    clip = torch.cat([placed(one, 160, 160, 20, 10, 120) for one in tilted])
    for driving in (clip, iter(clip.split(2))):
        portrait = frame_source(
            Shown().eval(),
            picture,
            Options(reference=-1, finder=finder),
            Batches(driving, 2, again=True),
        )
        assert portrait.reference == 2


def test_a_stream_is_not_read_ahead(finder, picture, clip):
    read = []

    def stream():
        for i in range(30):
            read.append(i)
            yield clip[i % 3 : i % 3 + 1]

    next(motion.animate(Shown().eval(), picture, stream(), batch_size=2, finder=finder))
    assert len(read) <= 3


def test_where_no_face_is_found_all_is_as_without_and_told(finder, clip, caplog):
    source = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    found, plain = Shown().eval(), Shown().eval()
    with caplog.at_level(logging.WARNING):
        list(motion.animate(found, source, clip[:2], finder=finder))
    assert "The picture does not show a face" in caplog.text
    list(motion.animate(plain, source, clip[:2]))
    assert torch.equal(found.source, plain.source)


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("clip", "The picture does not"),
        ("picture", "Frame 0 of the clip does not"),
        ("", "Neither the picture nor frame 0 of the clip"),
    ],
)
def test_what_shows_no_face_is_named(points_at, monkeypatch, caplog, shown, told):
    found = {64: subject(points_at(30, 30, 2), 64, 64) if shown == "picture" else None}
    found[32] = subject(points_at(15, 15, 1), 32, 32) if shown == "clip" else None
    monkeypatch.setattr(
        "comfyui_motion.framing.plan.find_subject",
        lambda finder, picture, within, **how: found[picture.shape[-1]],
    )
    with caplog.at_level(logging.WARNING):
        framing, reference = Framing("crop").find(
            None, torch.rand(1, 3, 64, 64), Batches(torch.rand(2, 3, 32, 32), 2), 0, True
        )
    assert framing == Framing("crop") and reference == 0 and told in caplog.text


def test_an_empty_clip_is_still_an_empty_clip(finder, picture):
    with pytest.raises(motion.InputError, match="no frames"):
        list(motion.animate(Shown().eval(), picture, torch.empty(0, 3, 8, 8), finder=finder))
