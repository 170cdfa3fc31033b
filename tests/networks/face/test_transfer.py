"""A performance on another face: what two lids do together."""

import pytest
import torch

from comfyui_motion.networks.face.pose import model_face
from comfyui_motion.networks.face.topology import EYES
from comfyui_motion.networks.face.transfer import Face, quiet, together


def test_lids_that_differ_little_are_one_and_a_wink_stays_a_wink():
    ratio = torch.tensor([[0.5, 0.62], [0.0, 1.0], [1.0, 0.55]])
    found = together(ratio)
    assert torch.equal(found[0], torch.full((2,), 0.56))
    assert torch.allclose(found[1:], ratio[1:])


@pytest.mark.parametrize("apart", [0.05, 0.2, 0.3, 0.6])
def test_two_lids_keep_their_mean_and_which_is_further_open(apart):
    found = together(torch.tensor([[0.6 - apart / 2, 0.6 + apart / 2]]))[0]
    assert found.mean() == pytest.approx(0.6)
    assert 0 <= found[1] - found[0] <= apart + 1e-6


def test_an_outline_of_an_eye_moves_whole_or_not_at_all():
    points = torch.cat([model_face(), model_face()[:10]])[None].float()
    face, (one, other) = Face.of(points), EYES.values()
    apart = float(face.eyes_apart)
    expression = torch.zeros_like(points)
    expression[:, list(one.upper), 1] = 0.1 * apart  # one point goes far, all others a little
    expression[:, list(one.lower), 1] = 0.003 * apart
    expression[:, list(other.outline), 1] = 0.003 * apart
    still = quiet(expression, face)
    assert torch.allclose(still[:, list(one.outline)], expression[:, list(one.outline)], rtol=1e-3)
    assert (
        still[:, list(other.outline)].abs() < 0.01 * expression[:, list(other.outline)].max()
    ).all()
