"""Driver and source framed so that the same points meet, and a clip that then moves the subject
wherever it lies.
"""

import logging

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import (
    Keypoints,
    MotionField,
    MotionModel,
    Portrait,
    aligned_boxes,
)
from comfyui_motion.animate import Batches
from comfyui_motion.framing.align import align, framed_as, largest_square
from comfyui_motion.framing.find import Subject, subject_at
from comfyui_motion.framing.plan import Framing


def subject(points: torch.Tensor, height: int, width: int) -> Subject:
    return subject_at(points, torch.ones(len(points)), 0.9, height, width)


def carried(points: torch.Tensor, box, onto) -> torch.Tensor:
    """Points in one box to the same places in the other."""
    box, onto = torch.tensor(box), torch.tensor(onto)
    return (points - box[:2]) / (box[2:] - box[:2]) * (onto[2:] - onto[:2]) + onto[:2]


CORE = slice(0, 14)


@pytest.mark.parametrize("wide, off", [(1.0, 0.5), (0.8, 12), (1.25, 12)])
def test_the_same_points_meet_in_the_boxes(face, wide, off):
    """Exactly where both faces have one shape; within a sixth of the face's height where they do
    not, since it is hardly stretched.
    """
    driving = subject(face.points(240, 260, 85), 480, 480)
    source = subject(
        face.points(0, 0, 30) * torch.tensor([wide, 1.0]) + torch.tensor([500.0, 300.0]), 1280, 720
    )
    ours, theirs = aligned_boxes(source, driving)
    assert_close(carried(driving.points, theirs, ours)[CORE], source.points[CORE], atol=off, rtol=0)
    assert ours[0] >= 0 and ours[1] >= 0 and ours[2] <= 720 and ours[3] <= 1280
    assert theirs[0] >= 0 and theirs[1] >= 0 and theirs[2] <= 480 and theirs[3] <= 480


def test_a_point_that_lies_apart_does_not_pull_the_others(face):
    driving, points = subject(face.points(240, 260, 85), 480, 480), face.points(360, 300, 60)
    points[12, 1] += 60  # a beard taken for the chin
    laid = align(subject(points, 700, 700), driving)
    met = driving.points * torch.tensor(laid.scale) + torch.tensor(laid.shift)
    assert (met - points).norm(dim=1)[[0, 1, 2, 3, 8, 9]].max() < 4


def test_no_face_is_stretched_further_than_faces_go(face):
    driving = subject(face.points(240, 260, 85), 480, 480)
    squeezed = face.points(0, 0, 60) * torch.tensor([0.3, 1.0]) + torch.tensor([300.0, 300.0])
    x, y = align(subject(squeezed, 600, 600), driving).scale
    assert 0.75 - 1e-3 <= x / y < 1


def test_networks_that_work_on_squares_get_squares_within_both_pictures(face):
    driving = subject(face.points(240, 300, 100), 480, 480)
    source = subject(face.points(100, 200, 40), 900, 300)
    for box, width, height in zip(
        aligned_boxes(source, driving, square=True), (300, 480), (900, 480), strict=True
    ):
        left, top, right, bottom = box
        assert right - left == pytest.approx(bottom - top)
        assert left >= -1e-3 and top >= -1e-3 and right <= width + 1e-3 and bottom <= height + 1e-3


def test_a_box_given_by_hand_is_kept_and_the_other_shows_the_same(face):
    driving, source = (
        subject(face.points(240, 260, 60), 480, 480),
        subject(face.points(400, 300, 30), 600, 700),
    )
    by_hand = (300.0, 220.0, 500.0, 400.0)
    ours, theirs = framed_as(source, driving, by_hand, None)
    assert_close(torch.tensor(ours), torch.tensor(by_hand), atol=0.01, rtol=0)
    assert_close(carried(driving.points, theirs, ours)[CORE], source.points[CORE], atol=0.5, rtol=0)
    assert framed_as(source, driving, by_hand, (1.0, 2.0, 3.0, 4.0)) == (
        by_hand,
        (1.0, 2.0, 3.0, 4.0),
    )


def test_the_largest_square_lies_as_near_as_it_goes():
    assert largest_square((0, 0, 100, 60), (70, 10, 90, 30)) == (40, 0, 100, 60)
    assert largest_square((0, 0, 60, 100), (10, 40, 30, 60)) == (0, 20, 60, 80)


def texture(height: int, width: int) -> torch.Tensor:
    torch.manual_seed(0)
    return 0.22 * torch.nn.functional.interpolate(
        torch.rand(1, 3, height // 8, width // 8), size=(height, width), mode="bicubic"
    ).clamp(0, 1)


@pytest.fixture
def clip(face) -> torch.Tensor:
    """A large face that nods a little."""
    return torch.cat(
        [face.draw(160, 160, face.points(80, 84 + 3 * i, 26), texture(160, 160)) for i in range(3)]
    )


@pytest.fixture
def picture(face) -> torch.Tensor:
    """A small one, aside."""
    return face.draw(220, 300, face.points(215, 90, 17), texture(220, 300))


def test_a_small_face_aside_nods_where_it_is_and_the_rest_stays(face, clip, picture):
    steps = list(motion.perform(motion.load(), picture, clip, size="source", finder=face.finder()))
    frames, field = steps[-1].frames, steps[-1].field
    assert_close(frames[:1], picture, atol=2e-3, rtol=0)
    moved = (field.to_pixels(220, 300) - MotionField.identity(1, 220, 300).to_pixels(220, 300))[-1]
    x, y = face.points(215, 90 + 6 * 17 / 26, 17)[CORE].long().unbind(-1)  # where they are by then
    assert_close(
        moved[y, x].median(dim=0).values, torch.tensor([0.0, -6 * 17 / 26]), atol=0.5, rtol=0
    )
    assert_close(frames[-1, :, :, :120], picture[0, :, :, :120], atol=1e-4, rtol=0)
    assert_close(frames[-1, :, 170:], picture[0, :, 170:], atol=1e-4, rtol=0)


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


def test_a_network_is_shown_both_faces_alike(face, clip, picture):
    model = Shown().eval()
    list(motion.animate(model, picture, clip, size="source", finder=face.finder()))
    seen = face.finder(64).detect(torch.cat([model.source, model.driving[0][:1]])).position
    assert_close(seen[0, CORE], seen[1, CORE], atol=0.05, rtol=0)


def test_boxes_given_by_hand_win(face, clip, picture):
    by_hand = {
        "subject": (100, 20, 200, 120),
        "driving_subject": (10, 10, 110, 110),
        "size": "source",
    }
    found, given = Shown().eval(), Shown().eval()
    list(motion.animate(found, picture, clip, finder=face.finder(), **by_hand))
    list(motion.animate(given, picture, clip, **by_hand))
    assert torch.equal(found.source, given.source) and torch.equal(
        found.driving[0], given.driving[0]
    )


def test_the_best_reference_frame_is_the_one_posed_like_the_source_also_for_flow(face):
    def smiling(much, x, y, scale):
        points = face.points(x, y, scale)
        points[8] += much * scale * torch.tensor([-0.4, -0.3])
        points[9] += much * scale * torch.tensor([0.4, -0.3])
        return points

    clip = torch.cat(
        [face.draw(160, 160, smiling(i / 2, 80, 84, 26), texture(160, 160)) for i in range(3)]
    )
    source = face.draw(220, 300, smiling(1.0, 215, 90, 17), texture(220, 300))
    for driving in (clip, iter(clip.split(2))):
        steps = list(
            motion.perform(
                motion.load(), source, driving, size="source", reference=-1, finder=face.finder()
            )
        )
        frames = torch.cat([step.frames for step in steps])
        assert_close(frames[2:], source, atol=2e-3, rtol=0)
        assert (frames[0] - source[0]).abs().max() > 0.1


def test_a_stream_is_not_read_ahead(face, picture, clip):
    read = []

    def stream():
        for i in range(30):
            read.append(i)
            yield clip[i % 3 : i % 3 + 1]

    next(motion.animate(Shown().eval(), picture, stream(), batch_size=2, finder=face.finder()))
    assert len(read) <= 3
    streamed = [Shown().eval(), Shown().eval()]
    list(
        motion.animate(
            streamed[0], picture, iter(clip.split(1)), batch_size=2, finder=face.finder()
        )
    )
    list(motion.animate(streamed[1], picture, clip, batch_size=2, finder=face.finder()))
    assert torch.equal(torch.cat(streamed[0].driving), torch.cat(streamed[1].driving))


def test_where_no_subject_is_found_all_is_as_without_and_told(face, clip, caplog):
    source = texture(64, 64)
    with caplog.at_level(logging.WARNING):
        found = torch.cat(
            list(motion.animate(motion.load(), source, clip[:2], finder=face.finder(64)))
        )
    assert "The picture does not show a subject" in caplog.text
    assert_close(found, torch.cat(list(motion.animate(motion.load(), source, clip[:2]))))


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("clip", "The picture does not"),
        ("picture", "The clip does not"),
        ("", "Neither the picture nor the clip"),
    ],
)
def test_what_shows_no_subject_is_named(face, monkeypatch, caplog, shown, told):
    found = {64: subject(face.points(30, 30, 8), 64, 64) if shown == "picture" else None}
    found[32] = subject(face.points(15, 15, 4), 32, 32) if shown == "clip" else None
    monkeypatch.setattr(
        "comfyui_motion.framing.plan.find_subject",
        lambda finder, picture, within: found[picture.shape[-1]],
    )
    with caplog.at_level(logging.WARNING):
        framing, reference = Framing("crop").find(
            face.finder(), torch.rand(1, 3, 64, 64), Batches(torch.rand(2, 3, 32, 32), 2), -1, True
        )
    assert framing == Framing("crop") and reference == -1 and told in caplog.text


def test_an_empty_clip_is_still_an_empty_clip(face, picture):
    with pytest.raises(motion.InputError, match="no frames"):
        list(motion.animate(motion.load(), picture, torch.empty(0, 3, 8, 8), finder=face.finder()))
