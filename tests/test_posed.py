"""Keypoints placed from parts: placed, smoothed, weakened, written down part by part."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from comfyui_motion import InputError, Keypoints, best_reference, retarget
from comfyui_motion.posed import EYES, LIPS, NEUTRAL, PosedKeypoints
from comfyui_motion.retarget import Strengths


def posed(count=5, points=21, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def some(*shape, reach):
        return (2 * torch.rand(*shape, generator=generator) - 1) * reach

    return PosedKeypoints.placed(
        canonical=some(count, points, 3, reach=0.5),
        expression=some(count, points, 3, reach=0.05),
        rotation=some(count, 3, reach=40.0),
        scale=1.2 + some(count, reach=0.2),
        translation=some(count, 3, reach=0.2),
    )


def test_points_are_where_the_parts_place_them():
    points = posed()
    one = points[2]
    x = one.scale * (one.canonical[0] @ one.turn[0] + one.expression[0])
    x = x + one.translation[0] * torch.tensor([1.0, 1.0, 0.0])
    assert_close(points.x[2], x)
    assert_close(points.x, torch.cat([points.position, points.depth[..., None]], -1))


def test_every_frame_is_under_two_kilobytes_of_json_and_comes_back():
    points = posed(count=40)
    text = points.to_json()
    assert len(text) < 40 * 2000
    back = Keypoints.from_json(text)
    assert isinstance(back, PosedKeypoints)
    assert_close(back.x, points.x, atol=1e-5, rtol=0)
    shifted = points.shifted(torch.full((40, 21, 3), 0.0123456))
    shifted = shifted.but(openness=torch.full((40, 3), 0.345))
    assert len(shifted[7].to_json()) < 2048 and len(shifted.to_json()) < 40 * 2048
    back = Keypoints.from_json(shifted.to_json())
    assert_close(back.x, shifted.x, atol=1e-5, rtol=0)
    assert_close(back.openness, shifted.openness)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), turn=st.tuples(*[st.floats(-180, 180)] * 3))
def test_any_pose_comes_back_from_its_document(seed, turn):
    points = posed(2, seed=seed)
    points = points.but(rotation=torch.tensor([turn, turn[::-1]]))
    back = Keypoints.from_json(points.to_json())
    assert_close(back.x, points.x, atol=1e-5, rtol=0)
    assert_close(back.turn, points.turn, atol=1e-6, rtol=0)


def test_a_shape_that_all_frames_share_is_written_once():
    points = posed()
    same = points.but(canonical=points.canonical[:1].expand(5, -1, -1))
    assert len(json.loads(same.to_json())["canonical"]) == 1
    assert_close(Keypoints.from_json(same.to_json()).x, same.x, atol=1e-5, rtol=0)


def test_plain_keypoints_are_written_and_read_as_before():
    plain = Keypoints(torch.rand(2, 3, 2))
    assert json.loads(plain.to_json())["version"] == 1
    assert_close(Keypoints.from_json(plain.to_json()).position, plain.position)


@pytest.mark.parametrize("part", ["canonical", "rotation", "scale"])
def test_documents_that_lack_a_part_or_have_it_in_another_shape_are_refused(part):
    document = json.loads(posed().to_json())
    for spoilt in (
        {k: v for k, v in document.items() if k != part},
        {**document, part: [[1.0]]},
        {**document, part: "many"},
        {**document, "version": 3},
    ):
        with pytest.raises(InputError):
            Keypoints.from_json(json.dumps(spoilt))


def test_smoothing_turns_heads_the_short_way_round():
    points = posed(9)
    rolls = torch.tensor([178.0, -179, 179, -178, 180, 179, -179, 178, 180])
    turned = points.but(rotation=torch.stack([0 * rolls, 0 * rolls, rolls], 1)).smooth(1.5)
    assert (turned.rotation[:, 2].abs() > 177).all()
    assert torch.equal(points.smooth(0).x, points.x)
    still = points[0].expanded(9)
    assert_close(still.smooth(2.0).x, still.x, atol=1e-5, rtol=0)


def test_strength_is_of_every_part_and_turns_heads_without_shrinking_them():
    rest, points = posed(1, seed=1), posed()
    assert_close(points.between(rest, 0.0).x, rest.x.expand(5, -1, -1), atol=1e-5, rtol=0)
    assert points.between(rest, 1.0) is points
    half = points.between(rest, 0.5)
    assert_close(half.scale, (points.scale * rest.scale).sqrt())
    twice = rest.between(rest, 0.3).but(rotation=rest.rotation + torch.tensor([[0.0, 0, 90]]))
    turned = twice.between(rest, 0.5).rotation - rest.rotation
    assert_close(turned, torch.tensor([[0.0, 0, 45]]), atol=1e-3, rtol=0)


def test_head_expression_eyes_and_mouth_at_one_are_all():
    source, points = posed(1, seed=1), posed()
    whole = retarget(points, points[:1], source)
    parts = [
        retarget(points, points[:1], source, strength=s)
        for s in (Strengths(1, 0, 0, 0), Strengths(0, 1, 0, 0), Strengths(0, 0, 1, 0))
    ]
    parts.append(retarget(points, points[:1], source, strength=Strengths(0, 0, 0, 1)))
    moved = sum(part.expression - source.expression for part in parts)
    assert_close(source.expression + moved, whole.expression, atol=1e-6, rtol=0)
    assert_close(parts[0].rotation, whole.rotation, atol=1e-3, rtol=0)
    assert set(
        parts[3].expression.sub(source.expression).abs().amax((0, 2)).nonzero()[:, 0].tolist()
    ) == set(LIPS)
    assert set(
        parts[2].expression.sub(source.expression).abs().amax((0, 2)).nonzero()[:, 0].tolist()
    ) == set(EYES)
    assert torch.equal(retarget(points, points[:1], source, strength=Strengths()).x, whole.x)


def test_one_strength_a_point_moves_each_in_a_straight_line():
    source, points = posed(1, seed=1), posed()
    strength = torch.linspace(0, 1, 21)
    whole = retarget(points, points[:1], source).x
    found = retarget(points, points[:1], source, strength=strength).x
    assert_close(found, source.x + strength[:, None] * (whole - source.x), atol=1e-6, rtol=0)


def test_the_best_reference_looks_straight_with_eyes_and_mouth_as_the_sources():
    source, points = posed(1, seed=1), posed()
    frontal = points.rotation.clone()
    frontal[3] = 0
    expression = points.expression.clone()
    expression[3] = source.expression[0]
    assert best_reference(points.but(rotation=frontal, expression=expression), source) == 3


def test_a_neutral_face_keeps_its_pose_and_is_known_for_21_points_alone():
    points = posed()
    assert_close(points.neutral().expression, NEUTRAL.expand(5, -1, -1))
    assert torch.equal(points.neutral().rotation, points.rotation)
    with pytest.raises(InputError, match="21 points"):
        posed(points=15).neutral()


def test_plain_points_and_placed_ones_do_not_mix():
    points = posed()
    with pytest.raises(InputError, match="same model"):
        retarget(points, points[:1], Keypoints(points.position[:1]))
    with pytest.raises(InputError, match="B K 3"):
        points.but(canonical=torch.rand(5, 3))
