"""Models that are shown a head: found, cropped level, moved, and put back where it was."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.framing.crop import Place
from comfyui_motion.framing.head import eye_ratios, lip_ratio, source_place
from comfyui_motion.framing.level import LevelPortrait
from comfyui_motion.framing.plan import WHOLE
from comfyui_motion.framing.portrait import believed
from comfyui_motion.moving_heads import random_walk
from tests.heads.acting import CENTRE, DRIVER, STEP, face_points, noise, run


@pytest.mark.parametrize(
    "face",
    [
        CENTRE,
        face_points(70, 60, 40, math.radians(170)),
        face_points(5, 90, 50, -0.4),  # across the border
        face_points(80, 60, 16, 0.2),
        face_points(75, 55, 300),  # larger than the picture
    ],
    ids=["turned", "upside down", "border", "16 pixels", "huge"],
)
def test_at_rest_every_pixel_is_the_sources(shown, face):
    source, driving = noise(120, 150), noise(80, 100, 3)
    frames, steps = run(shown([face], DRIVER[:3]), source, driving, strength=0.0)
    assert (frames - source).abs().max() < STEP
    assert max(step.occlusion.max() for step in steps) < 0.01


def test_relative_motion_of_the_reference_itself_is_rest(shown):
    source, driving = noise(120, 150), noise(80, 100, 4)
    frames, _ = run(shown([CENTRE], DRIVER[:4]), source, driving, reference=2)
    assert (frames[2:3] - source).abs().max() < STEP
    assert all((frame - source).abs().max() > 5 * STEP for frame in (frames[:1], frames[3:]))


def test_outside_the_square_nothing_changes_to_the_bit(shown):
    source, driving = noise(120, 150), noise(80, 100, 2)
    face = face_points(70, 60, 24, 0.3)
    for published in (False, True):
        frames, _ = run(
            shown([face], DRIVER[:2]), source, driving, reference=0, published=published
        )
        place = source_place(face, 120, 150)
        x = torch.arange(150) + 0.5 - sum(place.box[::2]) / 2
        y = torch.arange(120)[:, None] + 0.5 - sum(place.box[1::2]) / 2
        across = (x * math.cos(place.angle) + y * math.sin(place.angle)).abs()
        down = (y * math.cos(place.angle) - x * math.sin(place.angle)).abs()
        outside = torch.maximum(across, down) > (place.box[2] - place.box[0]) / 2 + 1e-3
        assert outside.any() and torch.equal(
            frames[..., outside], source.expand_as(frames)[..., outside]
        )
        assert (frames[1] - source[0]).abs().max() > 5 * STEP


def test_batches_of_any_size_give_the_same_frames(shown):
    source, driving = noise(120, 150), noise(80, 100, 6)
    model = shown([CENTRE], DRIVER)
    one, eight = (run(model, source, driving, batch_size=n)[0] for n in (1, 8))
    assert_close(one, eight, atol=1e-3, rtol=0)


def test_a_stream_of_batches_is_read_as_a_whole_clip_is(shown):
    source, driving = noise(120, 150), noise(80, 100, 5)
    model = shown([CENTRE], DRIVER[:5])
    frames, _ = run(model, source, iter(driving.split(2)))
    assert torch.equal(frames, run(model, source, driving)[0])


def test_frames_without_a_face_show_the_source_and_the_clip_goes_on(shown):
    source, driving = noise(120, 150), noise(80, 100, 4)
    clip = [DRIVER[0], None, DRIVER[2], DRIVER[3]]
    frames, _ = run(shown([CENTRE], clip), source, driving, reference=0)
    assert (frames[1:2] - source).abs().max() < STEP
    assert (frames[2:3] - source).abs().max() > 5 * STEP


def test_one_of_several_faces_moves_or_all(shown, caplog):
    source, driving = noise(120, 240), noise(80, 100, 2)
    left, right = face_points(60, 60, 24), face_points(180, 60, 26, 0.2)
    model = shown([left, right], DRIVER[:2])
    both = {
        face: (run(model, source, driving, reference=0, face=face)[0][1:] - source)
        .abs()
        .amax((0, 1, 2))
        for face in (0, 1, 2, -1)
    }
    for face, moved in ((1, (True, False)), (2, (False, True)), (-1, (True, True))):
        sides = both[face][:118].max(), both[face][122:].max()
        assert [bool(side > 5 * STEP) for side in sides] == list(moved), face
    assert torch.equal(both[0], both[2])  # the larger
    assert "shows 2 faces: number 2 from the left, the largest" in caplog.text
    with pytest.raises(motion.InputError, match="shows 2 faces, and face 3"):
        run(model, source, driving, face=3)


def test_no_face_is_a_sentence_and_a_box_is_enough(shown, caplog):
    source, driving = noise(120, 150), noise(80, 100, 2)
    with pytest.raises(motion.InputError, match="No face was found in the source picture"):
        run(shown([], DRIVER[:2]), source, driving)
    with pytest.raises(motion.InputError, match="No face was found in the driving clip"):
        run(shown([CENTRE], [None, None]), source, driving)
    frames, _ = run(
        shown([], [None, None]),
        source,
        driving,
        subject=(40, 30, 100, 90),
        driving_subject=(20, 10, 80, 70),
        reference=0,
    )
    assert (frames[1:] - source)[..., 30:90, 40:100].abs().max() > 5 * STEP
    assert torch.equal(frames[..., :29, :], source[..., :29, :].expand(2, -1, -1, -1))
    run(shown([CENTRE], [None, None]), source, noise(90, 90, 2))
    assert "it is taken whole" in caplog.text


def test_a_driver_of_one_picture_moves_the_expression_alone(shown):
    source, driving = noise(120, 150), noise(80, 100, 1)
    _, (step,) = run(shown([CENTRE], DRIVER[:1]), source, driving)
    assert step.points.expression.abs().max() > 1e-3
    head = LevelPortrait.at(shown([CENTRE]), source, source_place(CENTRE, 120, 150), WHOLE)
    rest = head.portrait.keypoints
    assert_close(step.pose.rotation, rest.rotation, atol=1e-3, rtol=0)
    assert_close(step.pose.scale, rest.scale)
    change = step.points.expression - step.points.neutral().expression
    assert_close(step.pose.expression, rest.expression + change, atol=1e-6, rtol=0)


def test_each_part_of_a_face_has_its_strength(shown):
    source, driving = noise(120, 150), noise(80, 100, 2)
    model = shown([CENTRE], DRIVER[:2])
    whole = run(model, source, driving, reference=0)[1][0].pose
    still = run(model, source, driving, reference=0, strength=0.0)[1][0].pose
    head = run(model, source, driving, reference=0, expression=0, eyes=0, mouth=0)[1][0].pose
    assert_close(head.rotation, whole.rotation, atol=1e-4, rtol=0)
    assert_close(head.expression, still.expression)
    assert_close(head.scale, still.scale)
    face = run(model, source, driving, reference=0, head=0, mouth=0)[1][0].pose
    assert_close(face.rotation, still.rotation, atol=1e-4, rtol=0)
    assert torch.equal(face.expression[:, 6], still.expression[:, 6])  # a lip
    assert_close(face.expression[:, 11], whole.expression[:, 11])  # an eye


def test_a_neutral_source_rests_without_its_expression(shown):
    source, driving = noise(120, 150), noise(80, 100, 2)
    model = shown([CENTRE], DRIVER[:2])
    frames, steps = run(model, source, driving, reference=0, strength=0.0, neutral_source=True)
    assert_close(steps[0].pose.expression, steps[0].pose.neutral().expression, atol=1e-6, rtol=0)
    assert (frames - source).abs().max() > STEP


def test_the_field_over_the_picture_moves_what_the_frames_move(shown):
    source, driving = noise(120, 150), noise(80, 100, 2)
    _, (step,) = run(shown([CENTRE], DRIVER[:2]), source, driving, reference=0)
    moved = (step.field.warp(source) - source).abs().amax((1, 2, 3))
    assert moved[0] < STEP < moved[1]


def test_the_mesh_says_how_open_eyes_and_lips_are():
    points = face_points(50, 50, 40)[None].repeat(2, 1, 1)
    points[1, [145, 374, 14], 1] += 6
    assert (eye_ratios(points)[1] > eye_ratios(points)[0] + 0.3).all()
    assert lip_ratio(points)[1] > lip_ratio(points)[0] + 0.2


def test_a_face_is_shown_level_and_from_above_the_brows_to_below_the_chin():
    upright = source_place(face_points(200, 200, 100), 400, 400)
    turned = source_place(face_points(200, 200, 100, 0.5), 400, 400)
    assert upright.angle == pytest.approx(0, abs=0.02) and turned.angle == pytest.approx(
        0.5, abs=0.02
    )
    side = upright.box[2] - upright.box[0]
    assert turned.box[2] - turned.box[0] == pytest.approx(side, rel=0.03)
    points = face_points(200, 200, 100)
    assert upright.box[1] < points[:468, 1].min() and upright.box[3] > points[:468, 1].max()
    assert isinstance(upright, Place)


def test_a_clip_as_the_source_moves_by_itself_and_by_what_the_driver_adds(shown):
    source, driving = noise(120, 150, 4), noise(80, 100, 5)
    walk = [face_points(60 + 4 * i, 60, 40, 0.1 * i) for i in range(4)]
    model = shown(walk[:1], DRIVER[:5], moving=walk)
    still, _ = run(model, source, driving, strength=0.0)
    assert still.shape == source.shape and (still - source).abs().max() < STEP
    moved, steps = run(model, source, driving, reference=0)
    assert (moved[1:] - source[1:]).abs().amax((1, 2, 3)).min() > 5 * STEP
    again = torch.cat(
        [
            s.frames
            for s in motion.perform(model, source.split(3), driving, size="source", reference=0)
        ]
    )
    assert torch.equal(again, moved)
    assert len(steps) == 4  # to the end of the shorter
    with pytest.raises(motion.InputError, match="one at a time"):
        run(model, source, driving, face=-1)


def test_a_random_walk_is_smoothed_and_what_stands_still_stays():
    still = torch.ones(9, 2)
    assert_close(random_walk(still), still)
    steps = torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 1])
    smooth = random_walk(steps, process=1.0, observation=1.0)
    assert (smooth.diff() >= 0).all() and smooth[3] > 0.1 and smooth[4] < 0.9
    assert_close(smooth, 1 - smooth.flip(0))


def seen(now, rest, grid=None):
    """What is believed of a visibility where the network says `rest` of no motion."""
    field = motion.MotionField.identity(1, 8, 8)
    grid = field.grid if grid is None else grid
    return believed(replace(field, grid=grid, occlusion=(now,)), (rest,))


def test_what_a_network_never_calls_visible_is_not_hidden_by_standing_still():
    rest = torch.rand(1, 1, 8, 8) * 0.04
    assert (seen(rest, rest) == 1).all() and (seen(rest, rest + 0.9) == 0).all()
    low = torch.full((1, 1, 8, 8), 0.03)  # never called visible at all, here or there
    assert (seen(low, low.flip(3) * 0.5) == 1).all()


def test_a_pixel_is_hidden_as_far_as_its_visibility_fell():
    rest = torch.full((1, 1, 8, 8), 0.8)
    shares = torch.tensor([1.0, 0.9, 0.55, 0.2, 0.0])
    found = torch.stack([seen(rest * share, rest)[0, 0, 0, 0] for share in shares])
    assert_close(found, torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0]), atol=1e-5, rtol=0)
    assert (seen(rest * 1.2, rest) == 1).all()  # it cannot be more than visible


def test_visibility_is_held_against_where_the_pixel_came_from():
    rest = torch.cat([torch.full((1, 1, 8, 4), 0.1), torch.full((1, 1, 8, 4), 0.9)], dim=3)
    grid = motion.MotionField.identity(1, 8, 8).grid.flip(2)  # every pixel from the other side
    assert (seen(rest.flip(3), rest, grid) == 1).all()
    fell = seen(rest, rest, grid)  # 0.9 that became 0.1, and 0.1 that became 0.9
    assert (fell[..., :4] == 0).all() and (fell[..., 4:] == 1).all()


def test_without_occlusion_everything_is_visible():
    field = motion.MotionField.identity(2, 8, 8)
    assert (believed(field, ()) == 1).all() and believed(field, ()).shape == (2, 1, 8, 8)


@settings(max_examples=12, deadline=None)
@given(
    x=st.floats(-20, 170),
    y=st.floats(-20, 140),
    size=st.floats(3, 120),
    angle=st.floats(-math.pi, math.pi),
)
def test_a_head_of_any_turn_size_and_place_is_put_back_as_it_was(model, x, y, size, angle):
    source = noise(120, 150)
    place = source_place(face_points(x, y, size, angle), 120, 150)
    head = LevelPortrait.at(model, source, place, WHOLE)
    own = head.portrait.keypoints
    frames, hidden = head.render(model.motion(head.portrait, own), "source")
    assert (frames - source).abs().max() < STEP and hidden.max() < 0.01
    assert torch.equal(frames * ~head.reach, source * ~head.reach)


def test_frames_that_the_clip_holds_are_seen_and_painted_once(shown, monkeypatch):
    source, driving = noise(120, 150), noise(80, 100, 3)
    times = torch.tensor([1, 3, 2])
    model = shown([CENTRE], [DRIVER[i] for i in torch.arange(3).repeat_interleave(times).tolist()])
    seen, painted = [], []
    detect, generate = model.detect, model.generate
    monkeypatch.setattr(
        model, "detect", lambda f, *more: (seen.append(len(f)), detect(f, *more))[1]
    )
    monkeypatch.setattr(
        model, "generate", lambda p, field: (painted.append(len(field)), generate(p, field))[1]
    )
    held = driving.repeat_interleave(times, dim=0)
    frames, steps = run(model, source, held, batch_size=2, reference=0)
    assert sum(seen) == 3 and sum(painted) == 3 + 1  # and the source at rest
    assert max(len(step.frames) for step in steps) <= 2
    assert all(torch.equal(frames[i], frames[i + 1]) for i in (1, 2, 4))
    each = held + 1e-7 * torch.arange(6).view(6, 1, 1, 1)  # the same, but none is held
    one_by_one, _ = run(model, source, each, batch_size=2, reference=0)
    assert sum(seen) == 3 + 6
    assert_close(frames, one_by_one, atol=1e-2, rtol=0)
