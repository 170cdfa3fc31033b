"""What comes next: keypoints of a whole clip from those of one picture, so that it moves without a
driver (Monkey-Net's image-to-video).

A recurrent network over keypoints, trained once on the keypoints of clips and saved; it draws
nothing itself. What it predicts is a pose like any other, for `model.motion`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .doors.diagnosis import diagnose, is_safetensors
from .doors.documents import is_table, read_json
from .doors.weights import check_numbers, read_safetensors, write_safetensors
from .doors.words import shown
from .errors import CheckpointError, InputError, boundary
from .keypoints import Keypoints

FORMAT = "comfyui_motion.predictor"
FRAMES = 32  # as published
MADE_OF = ("points", "covariance", "hidden")


class KeypointPredictor(nn.Module):
    """A GRU that is shown the first frame's keypoints, then nothing, and says where they go.

    Each frame is a vector, K x (position, covariance row-major), or positions alone for models that
    know no covariance. Positions come out of a tanh; covariances as A^T A, so that they are ones.
    """

    def __init__(self, points: int, covariance: bool = True, hidden: int = 1024) -> None:
        super().__init__()
        self.points, self.covariance, self.hidden = points, covariance, hidden
        size = points * (6 if covariance else 2)
        self.recurrent = nn.GRU(size, hidden, batch_first=True)
        self.head = nn.Linear(hidden, size)

    def forward(self, first: Tensor, frames: int) -> Tensor:
        """From the first frame's vector. B V -> B frames V, the first of them a reconstruction"""
        fed = F.pad(
            first[:, None], (0, 0, 0, frames - 1)
        )  # every frame after the first is fed as zeros
        raw = self.head(self.recurrent(fed)[0]).unflatten(2, (self.points, -1))
        position = torch.tanh(raw[..., :2])
        if not self.covariance:
            return position.flatten(2)
        root = raw[..., 2:].unflatten(3, (2, 2))
        return torch.cat([position, (root.mT @ root).flatten(3)], dim=3).flatten(2)

    def vectors(self, keypoints: Keypoints) -> Tensor:
        """B V. Raises InputError for keypoints of another kind."""
        if keypoints.count != self.points or (self.covariance and keypoints.covariance is None):
            wanted = f"{self.points} points" + (" with covariances" if self.covariance else "")
            raise InputError(
                f"This predictor takes {wanted}; these keypoints have {keypoints.count},"
                f" {', '.join(n for n, _ in keypoints.points())}."
            )
        parts = [keypoints.position]
        if self.covariance and keypoints.covariance is not None:
            parts.append(keypoints.covariance.flatten(2))
        return torch.cat(parts, dim=2).flatten(1).to(next(self.parameters()).device)

    @torch.no_grad()
    def predict(
        self, keypoints: Keypoints, frames: int = FRAMES, covariance: bool = False
    ) -> Keypoints:
        """`frames` frames that begin with the first of `keypoints`.

        Only positions are predicted, the rest stays the first frame's (the published behaviour),
        unless `covariance`.
        """
        first = keypoints[:1]
        told = (
            self(self.vectors(first), frames)[0]
            .unflatten(1, (self.points, -1))
            .to(first.position.device)
        )  # T K 2 or 6
        clip = first.map(lambda value: value.expand(frames, *value.shape[1:]))
        changed = {"position": torch.cat([first.position, told[1:, :, :2]])}
        if covariance and self.covariance and first.covariance is not None:
            changed["covariance"] = torch.cat(
                [first.covariance, told[1:, :, 2:].unflatten(2, (2, 2))]
            )
        return replace(clip, **changed)

    def fit(
        self,
        clips: Sequence[Keypoints],
        steps: int,
        frames: int = FRAMES,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        seed: int = 0,
        progress: Callable[[int, int, float], None] | None = None,
    ) -> list[float]:
        """Train on windows of `frames` frames drawn from the clips (each a clip's keypoints in
        order): L1 on the frames after the first.

        `progress` is called with (steps done, steps, loss); what it raises ends the training, and
        what was learnt stays. Returns the losses. Raises InputError when no clip is long enough.
        """
        long = [self.vectors(clip) for clip in clips if len(clip) >= frames]
        if not long or frames < 2:
            raise InputError(
                f"Training needs clips of at least {max(frames, 2)} frames, and there is none among"
                f" the {len(clips)} given."
            )
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(self.parameters(), lr=learning_rate)
        losses: list[float] = []
        for step in range(steps):
            windows = torch.stack(
                [_window(long, frames, generator) for _ in range(batch_size)]
            )  # B T V
            with torch.enable_grad():
                loss = F.l1_loss(self(windows[:, 0], frames)[:, 1:], windows[:, 1:])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
            cast("Any", optimizer).step()
            losses.append(loss.item())
            if progress:
                progress(step + 1, steps, losses[-1])
        return losses

    def save(self, path: str | Path) -> None:
        """As safetensors, with what builds it in the metadata. Whole or not at all."""
        made = {name: getattr(self, name) for name in MADE_OF}
        write_safetensors(
            self.state_dict(), path, {"format": FORMAT, "parameters": json.dumps(made)}
        )

    @staticmethod
    def load(path: str | Path) -> KeypointPredictor:
        """What `save` wrote. Raises CheckpointError."""
        path = Path(path)
        advice = "give what KeypointPredictor.save wrote"
        complaint = diagnose(path)
        if complaint or not is_safetensors(path):
            raise CheckpointError(complaint or f"{path.name} is no safetensors file; {advice}.")
        tensors, metadata = read_safetensors(path)
        if metadata.get("format") != FORMAT:
            raise CheckpointError(f"{path.name} holds no keypoint predictor; {advice}.")
        check_numbers(tensors, path.name)
        shape = _shape(metadata.get("parameters", ""), tensors, path.name)
        with boundary(CheckpointError, f"{path.name} is damaged ({{reason}}); {advice}."):
            predictor = KeypointPredictor(*shape)
            predictor.load_state_dict(tensors)
        return predictor.eval()


def _shape(text: str, tensors: Mapping[str, Tensor], name: str) -> tuple[int, bool, int]:
    """What builds the predictor, as its file says and its tensors agree. Raises CheckpointError."""
    said = read_json(text, CheckpointError, f"What {name} says of itself", "save it again")
    made = (said.get(key) for key in MADE_OF) if is_table(said) else ()
    points, covariance, hidden = (*made, None, None, None)[:3]
    head = tensors.get("head.weight")
    if (
        head is None
        or type(points) is not int
        or type(covariance) is not bool
        or type(hidden) is not int
        or (points * (6 if covariance else 2), hidden) != tuple(head.shape)
    ):
        raise CheckpointError(
            f"{name} says its points, covariance and hidden are"
            f" {shown((points, covariance, hidden))}, and its"
            " tensors are of another predictor; save it again."
        )
    return points, covariance, hidden


def _window(clips: Sequence[Tensor], frames: int, generator: torch.Generator) -> Tensor:
    """Some frames in a row of some clip. T V"""
    clip = clips[int(torch.randint(len(clips), (), generator=generator))]
    start = int(torch.randint(len(clip) - frames + 1, (), generator=generator))
    return clip[start : start + frames]
