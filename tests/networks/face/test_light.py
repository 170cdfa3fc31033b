import numpy as np
import pytest

from comfyui_motion.networks.face.light import tint
from comfyui_motion.networks.face.mouth import GREY


def test_a_shade_on_grey_skin_is_grey():
    assert tint(np.full(3, 0.6, np.float32)) == pytest.approx([1, 1, 1], abs=1e-6)


def test_a_shade_on_warm_skin_is_warmer_and_as_dark():
    skin = np.array([0.8, 0.5, 0.35], np.float32)
    red, green, blue = share = tint(skin)
    assert red < green < blue
    slightly = skin * np.exp(-0.05 * share)
    assert slightly @ np.array(GREY) == pytest.approx(np.exp(-0.05) * skin @ np.array(GREY), 2e-3)
