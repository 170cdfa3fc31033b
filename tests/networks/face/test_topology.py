from __future__ import annotations

import torch

from comfyui_motion.networks.face import topology
from comfyui_motion.networks.face.topology import EYES, LIPS, POINTS, RIGID, SURFACE


def test_every_point_of_the_surface_is_in_a_triangle():
    assert topology.triangles().unique().tolist() == list(range(SURFACE))


def test_triangles_all_turn_the_same_way():
    edges = topology.triangles()[:, [0, 1, 1, 2, 2, 0]].view(-1, 2).tolist()
    assert len({tuple(edge) for edge in edges}) == len(edges)


def test_a_mirrored_mirror_is_the_face():
    mirror = topology.mirror()
    assert mirror.shape == (POINTS,) and mirror[mirror].tolist() == list(range(POINTS))


def test_the_mirror_swaps_the_eyes_point_by_point():
    mirror = topology.mirror()
    right, left = EYES["right_eye"], EYES["left_eye"]
    for row in ("corners", "upper", "lower", "above", "crease", "below"):
        assert mirror[list(getattr(right, row))].tolist() == list(getattr(left, row)), row
    assert mirror[468] == 473


def test_lids_and_lips_pair_upper_with_lower():
    face = topology.canonical()
    for upper, lower in (*EYES["right_eye"].pairs, *EYES["left_eye"].pairs, *LIPS.pairs):
        assert face[upper, 1] >= face[lower, 1], (upper, lower)


def test_the_subjects_right_has_negative_x():
    face = topology.canonical()
    assert face[list(EYES["right_eye"].outline), 0].max() < 0
    assert not torch.tensor(RIGID).ge(SURFACE).any()
