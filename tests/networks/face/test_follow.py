from __future__ import annotations

import logging

import pytest
import torch
import torch.nn.functional as F

from comfyui_motion import InputError
from comfyui_motion.networks.face.find import eye_distance
from comfyui_motion.networks.face.finder import FaceFinder
from comfyui_motion.networks.face.follow import Followed, Follower, follow_faces, missing, places
from comfyui_motion.networks.face.pose import model_face
from comfyui_motion.networks.face.smooth import settled
from comfyui_motion.networks.face.topology import EYES, LIPS


@pytest.fixture(scope="module")
def clip(portrait):
    """The drawn face, going to the right. 12 3 200 240"""
    small = F.interpolate(portrait, size=200, mode="area")
    wide = F.pad(small, (40, 40, 0, 0), mode="replicate")
    return torch.cat([wide[..., 40 - 2 * t : 280 - 2 * t] for t in range(12)])


@pytest.fixture(scope="module")
def followed(networks, clip):
    return Follower(networks).see(clip)


def test_points_go_where_the_face_goes(followed):
    assert followed.found.all() and not followed.cut.any()
    moved = (followed.points[-1] - followed.points[0])[:, :2].mean(0)
    torch.testing.assert_close(moved, torch.tensor([22.0, 0.0]), atol=1.0, rtol=0)


def test_batches_do_not_matter(networks, clip, followed):
    one = Follower(networks)
    apart = Followed.join([one.see(frame[None]) for frame in clip])
    torch.testing.assert_close(apart.points, followed.points, atol=2e-3, rtol=0)


def test_a_frame_by_itself_gives_nearly_the_same_points(networks, clip, followed):
    points, flag = places(networks, clip[3:5])
    assert (flag > 0.9).all()
    off = (points - followed.points[3:5])[..., :2].norm(dim=-1).mean()
    assert off < 0.02 * eye_distance(points).mean()


@pytest.mark.parametrize("value", [0.0, 1.0, float("nan")])
def test_a_frame_that_shows_nothing_holds_the_pose_and_is_named(networks, clip, caplog, value):
    spoilt = clip.clone()
    spoilt[4] = value
    with caplog.at_level(logging.WARNING):
        track = follow_faces(networks, spoilt.split(5))
    assert track.found.tolist() == [i != 4 for i in range(12)] and not track.cut.any()
    torch.testing.assert_close(track.points[4], track.points[3])
    assert "no face in frame 4 of the clip" in caplog.text
    steps = (track.points[1:] - track.points[:-1])[..., 0].mean(1)
    assert steps.abs().max() < 5  # it does not jump where the face comes back


def test_another_shot_is_a_cut_and_nothing_is_smoothed_across(networks, clip):
    other = 1 - clip.flip(-1).roll(40, dims=-2)
    track = Follower(networks).see(torch.cat([clip[:6], other[:3], clip[:3]]))
    assert track.cut.nonzero().flatten().tolist() == [6, 9]
    smooth = track.smooth()
    torch.testing.assert_close(
        smooth.points[9:],
        Followed(track.points[9:], track.flag[9:], torch.zeros(3, dtype=torch.bool), 200, 240)
        .smooth()
        .points,
    )


def pattern(seed):
    """A picture that is like no other. 1 3 96 96"""
    made = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(made, size=96, mode="bicubic").clamp(0, 1)


def test_a_camera_that_moves_after_a_cut_is_no_other_cut(networks):
    first, second, third, moved = (pattern(seed) for seed in range(4))
    clip = torch.cat([first, second, second.lerp(moved, 0.35), third])
    assert Follower(networks).see(clip).cut.tolist() == [False, True, False, True]


def test_a_face_that_jumps_is_found_in_the_same_frame(networks, portrait):
    face = F.interpolate(portrait[..., 100:860, 100:860], size=90, mode="area")
    ground = F.interpolate((pattern(0) * 3 - 1).clamp(0, 1), size=(300, 600), mode="nearest")
    frames = ground.repeat(6, 1, 1, 1)
    for frame, left in zip(frames, (40, 40, 40, 400, 400, 400), strict=True):
        frame[:, 100:190, left : left + 90] = face[0]
    track = Follower(networks).see(frames)
    assert track.found.all() and not track.cut.any()
    middle = track.points[..., 0].mean(1)
    assert middle[2] < 200 and middle[3] > 400


def test_fading_in_is_no_cut(networks, clip):
    light = torch.linspace(0, 1, len(clip))[:, None, None, None]
    track = Follower(networks).see(clip * light)
    assert not track.cut.any() and track.found[3:].all()


def test_a_still_clip_hardly_trembles(networks, clip):
    noise = torch.randn(12, 3, 200, 240, generator=torch.Generator().manual_seed(0))
    track = Follower(networks).see((clip[:1] + 0.02 * noise).clamp(0, 1))

    def trembling(points):
        return (points[1:] - points[:-1])[..., :2].norm(dim=-1).mean()

    assert trembling(track.smooth().points) < 0.6 * trembling(track.points)


def test_what_rests_is_still_and_what_moves_is_left_as_it_was():
    face = F.pad(model_face(), (0, 0, 0, 10))[None] * 10
    noise = torch.randn(30, 478, 3, generator=torch.Generator().manual_seed(0))
    points = face + 0.001 * float(eye_distance(face)) * noise
    lips, eye = list(LIPS.inner), list(EYES["left_eye"].outline)
    points[:, lips, 1] += 0.1 * float(eye_distance(face)) * torch.arange(30).sin()[:, None]
    calm = settled(points, torch.ones(30), torch.zeros(30, dtype=torch.bool))
    assert calm[:, eye].std(0).mean() < 0.3 * points[:, eye].std(0).mean()
    assert (calm[:, lips] - points[:, lips]).norm(dim=-1).mean() < 0.01 * eye_distance(face)


def test_which_face_is_followed_is_a_choice(networks, clip):
    pair = torch.cat([clip[:2], clip[:2]], dim=-1)
    places = [Follower(networks, number).see(pair).points[..., 0].mean() for number in (1, 2)]
    assert places[0] < 240 < places[1]
    with pytest.raises(InputError, match="2 faces here, and face 3"):
        Follower(networks, 3).see(pair)


def test_missing_frames_are_named_in_stretches():
    found = torch.tensor([1, 0, 0, 1, 0, 1], dtype=torch.bool)
    assert "frames 1-2, 4 of the clip" in missing(found)


def test_a_clip_without_frames_is_refused(networks):
    with pytest.raises(InputError, match="no frames"):
        follow_faces(networks, [])


def test_landmarks_for_a_benchmark_are_pixels_or_nothing(networks, clip):
    found = FaceFinder(networks).landmarks(torch.stack([clip[0], torch.zeros_like(clip[0])]))
    assert found.shape == (2, 478, 2) and found[1].isnan().all()
    assert found[0].min() > 0 and found[0].max() < 240
