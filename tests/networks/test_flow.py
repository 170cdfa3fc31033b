"""The model that needs no weights: what it follows, what it says it cannot see, and what it leaves
alone.
"""

import json
import math
from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from comfyui_motion.errors import InputError
from comfyui_motion.field import MotionField, identity_grid
from comfyui_motion.keypoints import Keypoints
from comfyui_motion.model import Placement
from comfyui_motion.networks.flow.model import (
    FAMILY,
    Flow,
    Parameters,
    invert,
)


@pytest.fixture(scope="module")
def model():
    return Flow(Parameters(lattice=32, detail=128))


def texture(height, width, seed=0):
    """Clouds of several sizes, in colour. 1 3 H W"""
    noise = torch.Generator().manual_seed(seed)
    octaves = [
        torch.rand(1, 3, max(2, height // cell), max(2, width // cell), generator=noise)
        for cell in (6, 12, 24, 48)
    ]
    return (
        torch.stack(
            [F.interpolate(octave, size=(height, width), mode="bicubic") for octave in octaves]
        )
        .mean(0)
        .clamp(0, 1)
    )


def moved_by(picture, matrix, shift):
    """The picture, every point of it carried from x to matrix x + shift, in -1..1 units."""
    inverse = torch.linalg.inv(torch.tensor(matrix))
    grid = (identity_grid(*picture.shape[-2:]) - torch.tensor(shift)) @ inverse.T
    return F.grid_sample(picture, grid[None], "bicubic", "reflection", align_corners=True).clamp(
        0, 1
    )


def error(points, model, matrix, shift, side):
    """Median distance of the points from where they belong, in pixels, of those that start and end
    well inside.
    """
    rest = model.lattice()
    truth = rest @ torch.tensor(matrix).T + torch.tensor(shift)
    inside = (rest.abs().amax(-1) < 0.85) & (truth.abs().amax(-1) < 0.85)
    return ((points.position[0] - truth).norm(dim=-1)[inside].median() * (side - 1) / 2).item()


def turn(degrees, zoom=1.0):
    cosine, sine = zoom * math.cos(math.radians(degrees)), zoom * math.sin(math.radians(degrees))
    return [[cosine, -sine], [sine, cosine]]


STILL = [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("size", [(128, 128), (90, 161), (333, 200)])
def test_identity_motion_returns_the_source(model, size):
    portrait = model.encode(texture(*size))
    field = model.motion(portrait, portrait.keypoints)
    assert_close(model.generate(portrait, field), portrait.picture, atol=1e-5, rtol=0)
    assert field.occlusion_mask(*size).max() == 0


def test_a_field_that_moves_nothing_returns_the_source_whoever_made_it(model):
    portrait = model.encode(texture(70, 50))
    assert_close(
        model.generate(portrait, MotionField.identity(2, 33, 20)),
        portrait.picture.expand(2, -1, -1, -1),
        atol=1e-5,
        rtol=0,
    )


def test_still_frames_have_no_motion(model):
    still = texture(100, 120).expand(3, -1, -1, -1)
    assert_close(model.detect(still).position, model.lattice().expand(3, -1, -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("matrix", "shift", "pixels"),
    [
        (STILL, [0.06, -0.03], 0.15),
        (STILL, [0.4, 0.1], 0.6),
        (turn(8), [0.0, 0.0], 0.3),
        (turn(30), [0.0, 0.0], 0.6),
        (turn(0, 1.25), [0.05, 0.0], 0.5),
        ([[1.1, 0.1], [-0.05, 0.95]], [0.0, 0.04], 0.4),
    ],
    ids=["shift", "far", "turn", "far turn", "zoom", "shear"],
)
def test_points_are_followed(model, matrix, shift, pixels):
    picture = texture(160, 160)
    points = model.detect(moved_by(picture, matrix, shift), picture)
    assert error(points, model, matrix, shift, 160) < pixels


def test_the_local_frames_turn_with_the_motion(model):
    picture = texture(160, 160)
    points = model.detect(moved_by(picture, turn(8), [0.0, 0.0]), picture)
    assert_close(points.jacobian[0].median(0).values, torch.tensor(turn(8)), atol=0.02, rtol=0)


def dimmed(picture):
    return 0.6 * picture + 0.1


def from_a_side(picture):
    return (picture + torch.linspace(-0.1, 0.1, picture.shape[-1])).clamp(0, 1)


@pytest.mark.parametrize("light", [dimmed, from_a_side])
def test_light_is_not_motion(model, light):
    picture = texture(128, 128) * 0.6 + 0.2
    assert error(model.detect(light(picture), picture), model, STILL, [0.0, 0.0], 128) < 0.1


def test_noise_is_not_motion(model):
    picture = texture(128, 128)
    noisy = (
        picture + 0.01 * torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(3))
    ).clamp(0, 1)
    drift = (model.detect(noisy, picture).position - model.lattice()).norm(dim=-1) * 127 / 2
    assert drift.median() < 0.1 and drift.quantile(0.95) < 0.2


def test_a_plain_wall_stays_where_it_is(model):
    scene = torch.full((1, 3, 128, 128), 0.5)
    scene[..., 40:100, 20:60] = texture(60, 40)
    after = torch.full((1, 3, 128, 128), 0.5)
    after[..., 40:100, 28:68] = texture(60, 40)
    moved = (
        (model.detect(after, scene).position - model.lattice()).norm(dim=-1).view(32, 32) * 127 / 2
    )
    assert moved[:, 28:].max() < 0.5
    assert moved[14:20, 8:13].min() > 6


def test_a_camera_takes_plain_walls_along(model):
    wall = torch.full((1, 3, 128, 128), 0.5)
    for row, column in ((6, 8), (6, 90), (52, 40), (92, 8), (92, 84)):
        wall[..., row : row + 28, column : column + 28] = texture(28, 28, seed=row + column)
    points = model.detect(moved_by(wall, STILL, [0.12, 0.05]), wall)
    moved = (points.position - model.lattice())[0].view(32, 32, 2)
    # nothing to see there
    assert_close(moved[14:20, 22:26], torch.tensor([0.12, 0.05]).expand(6, 4, 2), atol=0.02, rtol=0)


def test_the_result_does_not_depend_on_the_batch(model):
    picture = texture(96, 96)
    frames = torch.cat([moved_by(picture, turn(d), [0.0, d / 100]) for d in (0, 3, 6, 9)])
    together = model.detect(frames, picture)
    apart = Keypoints.join(model.detect(frames[i : i + 1], picture) for i in range(4))
    assert_close(together.position, apart.position, atol=2e-4, rtol=0)
    portrait = model.encode(picture)
    assert_close(
        model.motion(portrait, together).grid[2:3],
        model.motion(portrait, together[2]).grid,
        atol=1e-5,
        rtol=0,
    )


def test_the_first_frame_is_the_reference_when_none_is_given(model):
    frames = torch.cat([texture(96, 96), moved_by(texture(96, 96), STILL, [0.1, 0.0])])
    assert_close(model.detect(frames).position, model.detect(frames, frames[:1]).position)


def test_a_reference_of_another_size_is_the_same_subject(model):
    picture = texture(192, 192)
    frame = moved_by(picture, STILL, [0.1, 0.0])
    small = F.interpolate(frame, size=(128, 128), mode="bilinear", antialias=True)
    assert error(model.detect(small, picture), model, STILL, [0.1, 0.0], 128) < 0.3


def test_reconstruction_is_much_nearer_than_the_reference(model):
    picture = texture(128, 192)
    grid = identity_grid(128, 192)
    wave = grid + 0.04 * torch.stack(
        [torch.sin(3 * grid[..., 1]), torch.cos(4 * grid[..., 0])], dim=-1
    )
    frame = F.grid_sample(picture, wave[None], "bicubic", "reflection", align_corners=True).clamp(
        0, 1
    )
    portrait = model.encode(picture)
    made = model.generate(portrait, model.motion(portrait, model.detect(frame, picture)))
    assert (made - frame).abs().mean() < 0.15 * (picture - frame).abs().mean()


def test_points_moved_by_hand_move_the_picture_there(model):
    picture = torch.zeros(1, 3, 128, 128)
    picture[..., 60:68, 60:68] = 1
    portrait = model.encode(picture)
    rest = portrait.keypoints.position
    near = torch.exp(-rest.square().sum(-1, keepdim=True) / 0.1)
    pose = Keypoints(rest + near * torch.tensor([0.2, 0.0]))  # neither frames nor confidence
    made = model.generate(portrait, model.motion(portrait, pose))[0, 0]
    columns = torch.arange(128.0)
    assert (made.sum(0) * columns).sum() / made.sum() == pytest.approx(63.5 + 0.2 * 127 / 2, abs=1)


def test_what_a_moving_thing_uncovers_is_hidden():
    model = Flow(Parameters(lattice=64, detail=256))
    row, column = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")

    def scene(shift):
        disc = (column - 110 - shift) ** 2 + (row - 128) ** 2 < 45**2
        return (
            torch.where(disc, 0.6 * texture(256, 256, seed=1).roll(shift, 3), texture(256, 256)),
            disc,
        )

    (before, covered), (after, disc) = scene(0), scene(20)
    portrait = model.encode(before)
    hidden = (
        model.motion(portrait, model.detect(after, before)).occlusion_mask(256, 256)[0, 0] > 0.5
    )
    truth = covered & ~disc
    assert (hidden & truth).sum() / (hidden | truth).sum() > 0.4


def test_a_zoom_hides_nothing_but_what_leaves(model):
    portrait = model.encode(texture(128, 128))
    rest = portrait.keypoints.position
    assert model.motion(portrait, Keypoints(rest * 1.8)).occlusion_mask(128, 128).max() < 0.1
    shown = model.motion(portrait, Keypoints(rest * 0.5)).occlusion_mask(128, 128)[0, 0]
    assert shown[:20].min() > 0.9 and shown[45:83, 45:83].max() < 0.1


def test_occluders_are_not_believed(model):
    picture = texture(128, 128)
    frame = picture.clone()
    frame[..., 40:80, 40:80] = texture(40, 40, seed=7).flip(1)
    belief = model.detect(frame, picture).confidence.view(32, 32)
    assert belief[12:18, 12:18].mean() < 0.5 * belief[24:, 24:].mean()


def test_a_placement_confines_the_motion(model):
    portrait = model.encode(texture(128, 128), Placement(source=(-0.5, -0.5, 0.0, 0.0)))
    pose = Keypoints(portrait.keypoints.position + torch.tensor([0.05, 0.0]))
    field = model.motion(portrait, pose).resize(128, 128)
    shift = (field.grid - identity_grid(128, 128))[0, ..., 0]
    assert_close(shift[40:56, 40:56], torch.full((16, 16), -0.05), atol=1e-3, rtol=0)
    assert_close(shift[:, 80:], torch.zeros(128, 48), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("frames", "source"), [((40, 200), (201, 37)), ((128, 128), (64, 300)), ((17, 19), (16, 16))]
)
def test_any_size_and_aspect(model, frames, source):
    portrait = model.encode(texture(*source))
    field = model.motion(portrait, model.detect(texture(*frames).expand(2, -1, -1, -1)))
    made = model.generate(portrait, field)
    assert made.shape == (2, 3, *source) and made.isfinite().all()


def test_points_are_saved_and_loaded(model):
    picture = texture(64, 64)
    points = model.detect(moved_by(picture, turn(5), [0.0, 0.0]), picture)
    loaded = Keypoints.from_json(points.to_json())
    assert_close(loaded.position, points.position)
    assert_close(loaded.confidence, points.confidence)
    portrait = model.encode(picture)
    assert_close(model.motion(portrait, loaded).grid, model.motion(portrait, points).grid)


def test_inversion_undoes_a_strong_bend():
    grid = identity_grid(96, 128)
    bend = 0.1 * torch.stack([torch.sin(4 * grid[..., 1]), torch.sin(5 * grid[..., 0])], dim=-1)
    back, weight = invert(bend.permute(2, 0, 1)[None])
    there = F.grid_sample(
        bend.permute(2, 0, 1)[None], back, padding_mode="border", align_corners=True
    ).permute(0, 2, 3, 1)
    inside = back.abs().amax(-1) < 0.95
    assert ((back + there - grid).norm(dim=-1)[inside] * 127 / 2).max() < 0.1
    assert weight.min() >= 0 and weight.max() <= 1


def test_a_lattice_of_another_density_is_refused(model):
    with pytest.raises(InputError, match="1024 points and the pose has 9"):
        model.motion(model.encode(texture(64, 64)), Keypoints(torch.zeros(1, 9, 2)))


def test_the_family_has_no_files_and_plain_parameters():
    assert not FAMILY.recognise({"kp_detector.kp.weight": torch.zeros(1)})
    assert Parameters(**json.loads(json.dumps(asdict(FAMILY.published)))) == FAMILY.published
    assert not FAMILY.model(FAMILY.published).state_dict()


def test_points_that_are_nowhere_are_refused_in_a_sentence(model):
    portrait = model.encode(texture(64, 64))
    position = portrait.keypoints.position.clone()
    position[0, 3] = float("nan")
    with pytest.raises(InputError, match="not a number"):
        model.motion(portrait, Keypoints(position))
