"""Puppets: the same seed draws the same thing, and what they call true is."""

from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F

from comfyui_motion import InputError, Keypoints
from comfyui_motion.data.puppets.clips import (
    JOINTS,
    KINDS,
    MIRROR,
    UNSEEN,
    Puppets,
    puppet_clip,
)
from comfyui_motion.field import identity_grid, sample

SIZE = 96
PIXEL = 2 / (SIZE - 1)


@pytest.fixture(scope="module")
def pairs():
    """pairs(kind): a batch of it under one light, without blur or noise, drawn once."""
    return lru_cache(
        lambda kind: Puppets(SIZE, seed=UNSEEN + 3, kinds=(kind,), plain=True).batch(0, 16)
    )


def at(maps, points):
    """Maps B C H W at points B K 2 -> B K C."""
    return sample(maps, points[:, :, None], True, "border")[..., 0].transpose(1, 2)


def tensors(pairs) -> list[torch.Tensor]:
    truth = pairs.truth
    return [
        pairs.source,
        pairs.driving,
        truth.grid,
        truth.visible,
        truth.figure,
        truth.subject,
        truth.source.position,
        truth.driving.jacobian,
        truth.known,
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_depends_on_seed_and_step_and_not_on_what_was_asked_before(kind):
    fresh, used = Puppets(32, 5, (kind,)), Puppets(32, 5, (kind,))
    used.batch(0, 2), used.batch(7, 3)
    for one, other in zip(tensors(fresh.batch(3, 4)), tensors(used.batch(3, 4)), strict=True):
        assert torch.equal(one, other)


def test_other_steps_seeds_and_batch_sizes():
    puppets = Puppets(32, 5)
    first = puppets.batch(0, 4)
    assert not torch.equal(first.source, puppets.batch(1, 4).source)
    assert not torch.equal(first.source, Puppets(32, 6).batch(0, 4).source)
    assert torch.equal(puppets.batch(0, 3).source, first.source[:3]), (
        "a batch begins as a smaller one of its step does"
    )


def test_a_clip_is_its_seeds():
    clip, again = puppet_clip(UNSEEN, 3, 48), puppet_clip(UNSEEN, 3, 48)
    assert (
        clip.kind == again.kind
        and torch.equal(clip.frames, again.frames)
        and torch.equal(clip.grids, again.grids)
    )
    assert not torch.equal(clip.frames, puppet_clip(UNSEEN + 1, 3, 48).frames)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_ranges(kind):
    drawn = Puppets(40, 1, (kind,)).batch(0, 5)
    truth = drawn.truth
    assert (
        drawn.source.shape == drawn.driving.shape == (5, 3, 40, 40)
        and drawn.source.dtype == torch.float32
    )
    assert truth.grid.shape == (5, 40, 40, 2) and truth.visible.shape == (5, 1, 40, 40)
    assert truth.source.position.shape == (5, len(JOINTS), 2) and truth.driving.jacobian.shape == (
        5,
        len(JOINTS),
        2,
        2,
    )
    assert truth.known.shape == (5, len(JOINTS)) and truth.known.dtype == torch.bool
    assert all(
        picture.min() >= 0 and picture.max() <= 1 for picture in (drawn.source, drawn.driving)
    )
    assert set(truth.visible.unique().tolist()) <= {0.0, 1.0}
    assert all(value.isfinite().all() for value in tensors(drawn))


def test_a_clip_has_a_truth_for_every_frame_and_the_first_is_itself():
    clip = puppet_clip(UNSEEN + 4, 10, 48, "face")
    assert clip.kind == "face" and clip.frames.shape == (10, 3, 48, 48)
    assert clip.grids.shape == (10, 48, 48, 2) and clip.visible.shape == (10, 1, 48, 48)
    assert (
        isinstance(clip.joints, Keypoints)
        and clip.joints.position.shape == (10, len(JOINTS), 2)
        and clip.known.shape == (10, len(JOINTS))
    )
    assert clip.visible[0].min() == 1
    assert (clip.grids[0] - identity_grid(48, 48)).abs().max() < 0.3 * 2 / 47, (
        "frame 0 is where it is"
    )
    moved = (clip.frames[1:] - clip.frames[:-1]).abs().mean((1, 2, 3))
    assert moved.min() > 1e-4 and moved.max() < 0.1, "it moves, and smoothly"


@pytest.mark.parametrize("kind", KINDS)
def test_the_true_grid_and_what_is_visible_draw_the_driving_frame_from_the_source(kind, pairs):
    drawn = pairs(kind)
    # an edge's pixel shows two surfaces at once
    seen = -F.max_pool2d(-drawn.truth.visible, 3, 1, 1)

    def error(grid):
        missed = (
            (sample(drawn.source, grid, True, "border") - drawn.driving).abs().mean(1, keepdim=True)
        )
        return (missed * seen).sum((1, 2, 3)) / seen.sum((1, 2, 3))

    exact = error(drawn.truth.grid)
    copied = error(identity_grid(SIZE, SIZE)[None].expand_as(drawn.truth.grid))
    # a face is lit by one lamp as it turns, so it does not look the same everywhere; all others are
    # flat
    assert exact.mean() < (0.35 if kind == "face" else 0.2) * copied.mean()
    assert exact.max() < (0.04 if kind == "face" else 0.01)
    for shift in ((2, 0), (-2, 0), (0, 2), (0, -2)):
        assert (error(drawn.truth.grid + PIXEL * torch.tensor(shift)) > exact).all(), (
            "no grid nearby draws it better"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_the_figure_is_what_hides_the_background(kind, pairs):
    """Of the source: both frames of each two pairs are each other's. What the driving frame shows
    of the background is hidden where the source has its subject.
    """
    truth = pairs(kind).truth
    subject, front = truth.figure.unbind(1)
    assert (front <= subject).all() and 0.02 < subject.mean() < 0.9
    order = torch.arange(len(subject)) ^ 1
    assert torch.equal(truth.subject[:, 0], subject[order])
    scenery = truth.subject[:, 0] == 0
    inside = (truth.grid.abs() < 1 - PIXEL).all(-1)
    covered = at(truth.figure[:, :1], truth.grid.flatten(1, 2)).view(len(truth.grid), SIZE, SIZE)
    hidden = truth.visible[:, 0] == 0
    assert not (hidden & scenery & inside & (covered == 0)).any()
    assert hidden[scenery & inside & (covered == 1)].float().mean() > 0.99
    if kind == "face":
        chin = at(truth.figure, truth.source.position[:, [12]])[:, 0]
        assert (chin[truth.known[:, 12]] > 0.4).all(), "a chin is in front"


@pytest.mark.parametrize("kind", KINDS)
def test_seen_again_what_the_source_shows_is_still_subject_or_background_in_both_frames(kind):
    truth = Puppets(SIZE, UNSEEN + 5, (kind,), plain=True, copies=2).batch(1, 8).truth
    shown = truth.visible[:, 0] == 1
    there = at(truth.figure[:, :1], truth.grid.flatten(1, 2)).view(shown.shape)
    right = (there > 0.5) == (truth.subject[:, 0] > 0.5)
    # all but outlines, which are read from the nearest pixel
    assert right[shown].float().mean() > 0.98
    assert 0.02 < truth.subject.mean() < 0.98


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_to_be_hidden_cannot_be_drawn_from_the_source(kind, pairs):
    drawn = pairs(kind)
    missed = (
        (sample(drawn.source, drawn.truth.grid, True, "border") - drawn.driving)
        .abs()
        .mean(1, keepdim=True)
    )
    hidden = drawn.truth.visible < 0.5
    assert 0.005 < hidden.float().mean() < 0.2
    assert missed[hidden].mean() > 5 * missed[~hidden].mean()


@pytest.mark.parametrize("kind", ["face", "figure", "animal"])
def test_joints_go_where_the_grid_takes_their_surroundings(kind, pairs):
    truth = pairs(kind).truth
    taken = at(truth.grid.permute(0, 3, 1, 2), truth.driving.position)
    seen = truth.known & (at(truth.visible, truth.driving.position)[..., 0] > 0.99)
    astray = (taken - truth.source.position).norm(dim=-1)[seen] / PIXEL
    # some lie under other surfaces or at a rim; the others are exact
    assert seen.float().mean() > 0.7
    assert astray.median() < 0.1 and (astray < 1).float().mean() > 0.8
    moved = (truth.driving.position - truth.source.position).norm(dim=-1)[seen] / PIXEL
    assert moved.median() > 1, "they do move"


@pytest.mark.parametrize("kind", ["face", "figure", "animal"])
def test_local_frames_turn_and_stretch_as_the_grid_does_there(kind, pairs):
    truth = pairs(kind).truth
    grid, here = truth.grid.permute(0, 3, 1, 2), truth.driving.position
    sound = truth.known & ((at(grid, here) - truth.source.position).norm(dim=-1) < PIXEL / 2)
    columns = []
    for step in torch.tensor([[2 * PIXEL, 0.0], [0.0, 2 * PIXEL]]):
        sound = (
            sound
            & (at(truth.visible, here + step)[..., 0] > 0.99)
            & (at(truth.visible, here - step)[..., 0] > 0.99)
        )
        columns.append((at(grid, here + step) - at(grid, here - step)) / (4 * PIXEL))
    slopes = torch.stack(columns, dim=-1)  # B K 2 2
    carried = truth.source.jacobian @ torch.linalg.inv(truth.driving.jacobian)
    wrong, still = (
        (slopes - other).abs().amax((-1, -2))[sound].median() for other in (carried, torch.eye(2))
    )
    assert wrong < 0.1 and wrong < 0.5 * still


def test_a_mirrored_subject_has_its_left_for_its_right():
    assert (
        [MIRROR[MIRROR[i]] for i in range(len(JOINTS))]
        == list(range(len(JOINTS)))
        == sorted(MIRROR)
    )
    for name, other in zip(JOINTS, MIRROR, strict=True):
        sides = {"left": "right", "right": "left"}
        side, _, rest = name.partition(" ")
        assert JOINTS[other] == (f"{sides[side]} {rest}" if side in sides else name)


def test_left_is_left_in_the_picture_of_a_face(pairs):
    truth = pairs("face").truth
    for i, name in enumerate(JOINTS):
        if name.startswith("left"):
            apart = truth.source.position[:, MIRROR[i], 0] - truth.source.position[:, i, 0]
            assert (apart > 0).float().mean() > 0.9, name


def test_kinds_and_their_shares_are_as_asked():
    mixed = Puppets(24, 2, ("animal", "face", "shape"), face_share=0.6)
    assert dict(zip(mixed.kinds, mixed.odds, strict=True)) == pytest.approx(
        {"face": 0.6, "animal": 0.2, "shape": 0.2}
    )
    shapes, faces = (
        Puppets(24, 2, ("face", "shape"), face_share=share).batch(0, 8).truth.known
        for share in (0.0, 1.0)
    )
    assert not shapes.any() and faces.any(1).all(), "no picture of a shape tells where joints are"
    assert {puppet_clip(UNSEEN + i, 1, 24).kind for i in range(24)} == set(KINDS)


def test_photographs_are_painted_with():
    blue = torch.zeros(3, 64, 64)
    blue[2] = 1
    with_it, without = (
        Puppets(32, 3, ("shape",), photographs=photographs).batch(0, 12).source
        for photographs in ((blue,), ())
    )

    def blueness(pictures):
        return float((pictures[:, 2] - pictures[:, :2].amax(1) > 0.5).float().mean())

    assert blueness(with_it) > blueness(without) + 0.05


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda: Puppets(size=8), "size"),
        (lambda: Puppets(seed=-1), "seed"),
        (lambda: Puppets(kinds=()), "none"),
        (lambda: Puppets(kinds=("robot",)), "robot"),
        (lambda: Puppets(face_share=1.5), "face_share"),
        (lambda: Puppets(face_share=float("nan")), "face_share"),
        (lambda: Puppets(photographs=[torch.rand(1, 3, 8, 8)]), "3 H W"),
        (lambda: Puppets(32).batch(-1, 2), "step"),
        (lambda: Puppets(32).batch(0, 0), "1 pair"),
        (lambda: puppet_clip(-1, 2, 32), "seed"),
        (lambda: puppet_clip(0, 0, 32), "1 frame"),
        (lambda: puppet_clip(0, 2, 8), "16 pixels"),
        (lambda: puppet_clip(0, 2, 32, "robot"), "robot"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, says):
    with pytest.raises(InputError, match=says):
        draw()
