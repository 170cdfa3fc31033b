"""What comes next, from the first frame's keypoints."""

import math

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.prediction import KeypointPredictor

FRAMES = 12


def swinging(phase, frames=FRAMES):
    """Two points and how far they extend, going round: where they are says where they go."""
    turn = 2 * math.pi * (torch.arange(frames) / FRAMES + phase)
    position = (
        torch.stack(
            [torch.stack([turn.cos(), turn.sin()], -1), torch.stack([turn.sin(), -turn.cos()], -1)],
            dim=1,
        )
        * 0.6
    )  # T 2 2
    covariance = torch.diag_embed(
        torch.stack([0.02 + 0.01 * turn.cos(), 0.02 - 0.01 * turn.cos()], -1)
    )[:, None].expand(-1, 2, -1, -1)
    return motion.Keypoints(position, covariance=covariance)


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    predictor = KeypointPredictor(points=2, hidden=48)
    losses = predictor.fit(
        [swinging(p / 12, 24) for p in range(12)],
        steps=150,
        frames=FRAMES,
        batch_size=12,
        learning_rate=1e-2,
    )
    return predictor, losses


def test_training_lowers_the_error_five_times(trained):
    _, losses = trained
    assert sum(losses[-10:]) < sum(losses[:10]) / 5


def test_an_unseen_start_is_carried_on(trained):
    predictor, _ = trained
    clip = swinging(0.37)
    found = predictor.predict(clip[:1], frames=FRAMES)
    still = (clip.position - clip.position[:1]).abs().mean()
    assert torch.equal(found.position[0], clip.position[0])
    assert (found.position - clip.position).abs().mean() < still / 4


def test_the_first_frame_s_extent_stays_unless_asked(trained):
    predictor, _ = trained
    clip = swinging(0.2)
    assert torch.equal(
        predictor.predict(clip, FRAMES).covariance, clip.covariance[:1].expand(FRAMES, -1, -1, -1)
    )
    found = predictor.predict(clip, FRAMES, covariance=True).covariance
    assert (torch.linalg.eigvalsh(found) > -1e-6).all() and (
        found - clip.covariance
    ).abs().mean() < 0.004


def test_a_saved_predictor_predicts_the_same(trained, tmp_path):
    predictor, _ = trained
    predictor.save(tmp_path / "swing.safetensors")
    again = KeypointPredictor.load(tmp_path / "swing.safetensors")
    start = swinging(0.1)[:1]
    assert torch.equal(again.predict(start).position, predictor.predict(start).position)
    assert len(again.predict(start)) == 32


def test_progress_is_told_and_can_end_the_training():
    seen = []

    def stop(done, steps, loss):
        seen.append((done, steps))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        KeypointPredictor(2, hidden=8).fit([swinging(0)], steps=5, frames=8, progress=stop)
    assert seen == [(1, 5), (2, 5)]


def test_the_same_seed_learns_the_same():
    losses = []
    for _ in range(2):
        torch.manual_seed(3)
        losses.append(
            KeypointPredictor(2, hidden=8).fit([swinging(0, 32)], steps=3, frames=8, seed=5)
        )
    assert losses[0] == losses[1]


def test_points_alone_are_predicted_and_their_frames_kept():
    predictor = KeypointPredictor(2, covariance=False, hidden=8)
    start = motion.Keypoints(torch.zeros(1, 2, 2), jacobian=torch.eye(2).expand(1, 2, 2, 2))
    found = predictor.predict(start, frames=5)
    assert found.position.shape == (5, 2, 2)
    assert_close(found.jacobian, torch.eye(2).expand(5, 2, 2, 2))


def test_what_it_cannot_use_is_refused_in_a_sentence(tmp_path):
    predictor = KeypointPredictor(2, hidden=8)
    with pytest.raises(
        motion.InputError, match="takes 2 points with covariances; these keypoints have 3"
    ):
        predictor.predict(motion.Keypoints(torch.zeros(1, 3, 2)))
    with pytest.raises(motion.InputError, match="at least 32 frames"):
        predictor.fit([swinging(0, 4)], steps=1)
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    with pytest.raises(motion.CheckpointError, match="no.safetensors"):
        KeypointPredictor.load(tmp_path / "no.safetensors")
