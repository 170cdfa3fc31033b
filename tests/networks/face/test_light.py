import numpy as np
import pytest
import torch

from comfyui_motion.networks.face.keypoints import FaceKeypoints
from comfyui_motion.networks.face.light import tint
from comfyui_motion.networks.face.mouth import GREY
from comfyui_motion.networks.face.pose import model_face
from comfyui_motion.networks.face.watch import telling


def test_a_shade_on_grey_skin_is_grey():
    assert tint(np.full(3, 0.6, np.float32)) == pytest.approx([1, 1, 1], abs=1e-6)


def test_a_shade_on_warm_skin_is_warmer_and_as_dark():
    skin = np.array([0.8, 0.5, 0.35], np.float32)
    red, green, blue = share = tint(skin)
    assert red < green < blue
    slightly = skin * np.exp(-0.05 * share)
    assert slightly @ np.array(GREY) == pytest.approx(np.exp(-0.05) * skin @ np.array(GREY), 2e-3)


@pytest.mark.parametrize(("size", "share"), [(0.5, 0.0), (12.0, 1.0)])
def test_the_light_on_a_face_of_few_pixels_tells_of_no_folds(size, share):
    face = torch.cat([model_face(), model_face()[:10]])[None].float() * size
    seen = FaceKeypoints.placed(face, torch.tensor([[500, 500]]), confidence=torch.ones(1, 478))
    assert telling(seen, torch.zeros(1, dtype=torch.long)).item() == pytest.approx(share, abs=1e-3)
