"""Tracks as other nodes read them: JSON text of points."""

from __future__ import annotations

import json

import torch
from torch import Tensor

from ..errors import InputError
from ..keypoints import Keypoints
from ..shapes import as_lists
from .follow import SURE, Tracks

WAN_POINTS = 121  # WanTrackToVideo takes so many a track, whatever the clip's length


def tracks_to_text(tracks: Tracks, points: int | None = None) -> str:
    """`[[{"x": .., "y": ..}, ...], ...]`, a list a track, in pixels.

    points  how many of each track, spread over its time; a track ends where its point hides, since
            such text cannot say so, and one that begins hidden is left out. None: one for each
            frame of every track, hidden or not
    InputError where nothing is left to follow.
    """
    path, visible = tracks.track_path, tracks.track_visibility
    if points is None:
        return json.dumps([_written(path[:, n]) for n in range(path.shape[1])])
    at = torch.linspace(0, len(path) - 1, points)
    low, share = at.floor().long(), (at - at.floor())[:, None, None]
    high = (low + 1).clamp(max=len(path) - 1)
    places = torch.lerp(path[low], path[high], share)
    shown = (visible[low] & (visible[high] | (share[..., 0] == 0))).cumprod(0).bool()
    kept = [places[: int(shown[:, n].sum()), n] for n in range(path.shape[1])]
    if not any(len(track) for track in kept):
        raise InputError(
            "No point is visible in the first frame, and tracks end where they hide: choose points"
            " that the first frame shows."
        )
    return json.dumps([_written(track) for track in kept if len(track)])


def tracks_of_keypoints(keypoints: Keypoints, height: int, width: int) -> Tracks:
    """Keypoints of every frame as tracks, in pixels of a picture of that size. Points are visible
    within the picture, and where their model believes in them.
    """
    position = keypoints.position.float().cpu()
    visible = (position.abs() <= 1).all(-1)
    if keypoints.confidence is not None:
        visible &= keypoints.confidence.cpu() > SURE
    span = position.new_tensor([max(width - 1, 1), max(height - 1, 1)])
    return Tracks((position + 1) / 2 * span, visible)


def _written(path: Tensor) -> list[dict[str, float]]:
    return [{"x": round(x, 3), "y": round(y, 3)} for x, y in as_lists(path)]
