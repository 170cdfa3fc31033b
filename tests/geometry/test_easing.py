"""One smooth step, of numbers, arrays and tensors alike."""

import numpy as np
import pytest
import torch

from comfyui_motion.geometry.easing import ramp, smoothstep

SHARES = [-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 3.0]


def test_numbers_arrays_and_tensors_are_eased_alike():
    numbers = [smoothstep(share) for share in SHARES]
    assert numbers == [0, 0, 0.15625, 0.5, 0.84375, 1, 1]
    assert smoothstep(np.array(SHARES)).tolist() == numbers
    assert smoothstep(torch.tensor(SHARES)).tolist() == numbers


def test_a_ramp_rises_from_low_to_high_and_falls_where_high_is_the_lower():
    assert [ramp(2.0, 4.0, v) for v in (1.0, 3.0, 5.0)] == [0, 0.5, 1]
    assert [ramp(4.0, 2.0, v) for v in (1.0, 3.0, 5.0)] == [1, 0.5, 0]
    assert ramp(0.0, 1.0, 0.3) == pytest.approx(1 - ramp(1.0, 0.0, 0.3))
