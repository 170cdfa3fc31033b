import numpy as np
import pytest

from comfyui_motion.networks.face.paint import within
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


def test_beyond_the_edge_a_picture_is_mirrored_but_not_deep():
    places = np.array([[-40.0, -1.0, 0.0, 7.5, 20.0, 21.0, 90.0]])
    within(places, 20, 4.0, 2.0)
    assert places[0, 2:5].tolist() == [0.0, 7.5, 20.0]
    assert places[0, [1, 5]] == pytest.approx([0.885, 19.213], abs=1e-3)
    assert places[0, [0, 6]] == pytest.approx([4.0, 18.0], abs=1e-3)
