import numpy as np
import pytest

from comfyui_motion.networks.face.raster import Raster
from comfyui_motion.networks.face.warp import lay

SIZE = 80


@pytest.mark.parametrize(
    ("reads", "stays"),
    [(-8.0, -8.0), (30.0, 0.0)],
    ids=["within the person it is drawn", "beyond the person it gives way"],
)
def test_a_turned_mesh_tears_no_hole_into_a_cheek(reads, stays):
    """Somebody stands at the left; the mesh is drawn over x = 20 to 40, from `reads` pixels on."""
    person = np.zeros((SIZE // 2, SIZE // 2), np.float32)
    person[:, : SIZE // 4] = 1
    label = np.ones((SIZE, 20), np.int32)
    moved = np.zeros((SIZE, 20, 2), np.float32)
    moved[..., 0] = reads
    motion = np.zeros((SIZE, SIZE, 2), np.float32)
    lay(motion, Raster(20, 0, label, moved), person)
    assert motion[SIZE // 2, 26, 0] == pytest.approx(stays, abs=0.5)
