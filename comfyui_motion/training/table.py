"""The losses, each once: what it asks, how it is worked out, what it needs. Recipes, the command
line and docs/training.md are made from this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import Keypoints
from . import losses

if TYPE_CHECKING:
    from .objective import Attempt

# What a loss can need: of the data and the run ...
TRUTH, VGG, DISCRIMINATOR = "truth", "vgg", "discriminator"
# ... of a try, beyond keypoints ...
FRAMES_MADE, FIELD, PORTRAIT = "prediction", "field", "portrait"
# ... and of the family: in `MotionModel.offers`, or it cannot be had
LACKS = {
    "keypoints": "no keypoints",
    "frames": "keypoints without frames",
    "heatmaps": "no heatmaps",
    "contributions": "no contributions of its points to the field",
    "occlusion": "no occlusion",
    "background": "no background predictor",
    "appearance": "no features at several sizes",
    "avd": "no avd network",
}


@dataclass(frozen=True)
class Loss:
    """One line of the table."""

    help: str  # what it asks, in words
    term: Callable[[Attempt], Tensor]
    needs: tuple[str, ...] = ()

    @property
    def supervised(self) -> bool:
        """Whether it needs a truth, which drawn clips bring."""
        return TRUTH in self.needs

    @property
    def points_alone(self) -> bool:
        """Whether keypoints are enough: then nothing else is worked out."""
        return not {FRAMES_MADE, FIELD, PORTRAIT} & set(self.needs)

    @property
    def of_the_family(self) -> list[str]:
        return [need for need in self.needs if need in LACKS]


def _perceptual(a: Attempt) -> Tensor:
    assert a.vgg is not None
    with torch.no_grad():
        wanted = a.vgg(a.pairs.driving)
    return losses.features_l1(a.vgg(a.prediction), wanted)


def _equivariance_frames(a: Attempt) -> Tensor:
    return losses.equivariance_frames(a.driving, a.warped, a.transform, a.model.half_turns)


def _warp(a: Attempt) -> Tensor:
    return losses.warp_loss(a.portrait.features, a.model.appearance(a.pairs.driving), a.field)


def _background(a: Attempt) -> Tensor:
    there = a.model.background_motion(a.pairs.source, a.pairs.driving)
    back = a.model.background_motion(a.pairs.driving, a.pairs.source)
    return losses.background_loss(there, back)


def _matching(a: Attempt) -> Tensor:
    assert a.discriminator is not None
    return losses.features_l1(a.judged[0], a.discriminator(a.pairs.driving)[0])


def _avd(a: Attempt) -> Tensor:
    """The driving keypoints stretched along each axis, as if another's: the network is to give them
    back unstretched (MRAA, section 3.3).
    """
    with torch.no_grad():
        source, driving = a.model.detect(a.pairs.source), a.model.detect(a.pairs.driving)
    random = a.drawn(torch.rand, len(driving), 1, 2).to(driving.position.device)
    scale = 1 + a.stage.pose_scale * (2 * random - 1)
    frames = None if driving.jacobian is None else scale[..., None] * driving.jacobian
    found = a.model.avd(source, Keypoints(driving.position * scale, frames))
    loss = (found.position - driving.position).abs().mean()
    return loss if frames is None else loss + (found.jacobian - driving.jacobian).abs().mean()


def _joints(a: Attempt) -> Tensor:
    source, driving = a.detected()
    known = a.truth.known
    return (
        losses.joints_l1(source, a.truth.source, known)
        + losses.joints_l1(driving, a.truth.driving, known)
    ) / 2


def _heatmaps(a: Attempt) -> Tensor:
    a.detected()
    pairs = ((a.logits["source"], a.truth.source), (a.logits["driving"], a.truth.driving))
    temperature = a.model.spec.temperature
    found = [
        losses.heatmap_cross_entropy(logits.float() / temperature, true, a.truth.known)
        for logits, true in pairs
    ]
    return torch.stack(found).mean()


LOSSES = {
    "perceptual": Loss(
        "the prediction has the driving frame's VGG-19 features (FOMM, eq. 9); without a VGG file"
        " it becomes pyramid and gradient",
        _perceptual,
        (FRAMES_MADE, VGG),
    ),
    "pyramid": Loss(
        "the prediction is the driving frame: L1 at four sizes",
        lambda a: losses.pyramid_l1(a.prediction, a.pairs.driving),
        (FRAMES_MADE,),
    ),
    "gradient": Loss(
        "its edges are the driving frame's: L1 of differences between neighbours at four sizes",
        lambda a: losses.gradient_l1(a.prediction, a.pairs.driving),
        (FRAMES_MADE,),
    ),
    "equivariance": Loss(
        "keypoints follow a known warp of the picture (FOMM, eq. 10)",
        lambda a: losses.equivariance(a.driving, a.warped, a.transform),
        ("keypoints",),
    ),
    "equivariance_frames": Loss(
        "their local frames follow it too (FOMM, eq. 11)",
        _equivariance_frames,
        ("keypoints", "frames"),
    ),
    "warp": Loss(
        "the source's features, warped, are the driving frame's (TPSMM, eq. 11)",
        _warp,
        (FIELD, "keypoints", "appearance"),
    ),
    "background": Loss(
        "the background's motion and that of the swapped pair undo each other (TPSMM, eq. 12)",
        _background,
        (FIELD, "keypoints", "background"),
    ),
    "adversarial": Loss(
        "the prediction passes a discriminator (LSGAN)",
        lambda a: losses.fooled(a.judged[1]),
        (FRAMES_MADE, DISCRIMINATOR),
    ),
    "matching": Loss(
        "the discriminator's feature maps of prediction and driving frame are alike",
        _matching,
        (FRAMES_MADE, DISCRIMINATOR),
    ),
    "avd": Loss(
        "the avd network undoes a change of shape (MRAA, section 3.3)",
        _avd,
        ("keypoints", "avd"),
    ),
    "joints": Loss("keypoints are the drawn joints", _joints, (TRUTH, "keypoints")),
    "heatmaps": Loss(
        "their heatmaps are Gaussians round the joints", _heatmaps, (TRUTH, "keypoints", "heatmaps")
    ),
    "displacement": Loss(
        "keypoints move as far as the joints do",
        lambda a: losses.displacement_error(*a.detected(), a.truth),
        (TRUTH, "keypoints"),
    ),
    "frames": Loss(
        "local frames turn and stretch as the joints' surroundings do",
        lambda a: losses.frames_l1(*a.detected(), a.truth),
        (TRUTH, "keypoints", "frames"),
    ),
    "follow": Loss(
        "keypoints follow the true flow",
        lambda a: losses.follows_flow(*a.detected(), a.truth),
        (TRUTH, "keypoints"),
    ),
    "near_joints": Loss(
        "the prediction is the driving frame, round the joints",
        lambda a: losses.near_joints_l1(a.prediction, a.pairs.driving, a.truth),
        (TRUTH, FRAMES_MADE),
    ),
    "hidden": Loss(
        "the prediction is the driving frame, where the source hides what is there",
        lambda a: losses.hidden_l1(a.prediction, a.pairs.driving, a.truth),
        (TRUTH, FRAMES_MADE),
    ),
    "flow": Loss(
        "the field is the true flow",
        lambda a: losses.flow_l1(a.field, a.truth),
        (TRUTH, FIELD, "keypoints"),
    ),
    "motions": Loss(
        "each pixel belongs to the point that moves as it does",
        lambda a: losses.motions_likelihood(a.field, a.portrait.keypoints, a.pose, a.truth),
        (TRUTH, FIELD, "keypoints", "contributions"),
    ),
    "subject": Loss(
        "what the points claim is the driving frame's subject, and what they leave its background",
        lambda a: losses.subject_told(a.field, a.truth),
        (TRUTH, FIELD, "keypoints", "contributions"),
    ),
    "occlusion": Loss(
        "occlusion is the true visibility",
        lambda a: losses.occlusion_entropy(a.field, a.truth.visible),
        (TRUTH, FIELD, "keypoints", "occlusion"),
    ),
    "overlap": Loss(
        "what is called hidden covers what is hidden, and no more",
        lambda a: losses.hidden_overlap(a.field, a.truth.visible),
        (TRUTH, FIELD, "keypoints", "occlusion"),
    ),
    "near_hidden": Loss(
        "so it does round the joints above all",
        lambda a: losses.near_hidden(a.field, a.truth),
        (TRUTH, FIELD, "keypoints", "occlusion"),
    ),
}


def in_words() -> str:
    """The table as Markdown, and as the command line shows it."""
    lines = ["| loss | what it asks | needs |", "|---|---|---|"]
    for name, loss in LOSSES.items():
        shown = [need for need in loss.needs if need not in (FRAMES_MADE, FIELD, PORTRAIT)]
        lines.append(f"| `{name}` | {loss.help} | {', '.join(shown) or 'nothing'} |")
    return "\n".join(lines)
