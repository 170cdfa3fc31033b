"""One try at a batch: what the model makes of it, each value worked out when a loss first asks, and
the losses by their recipe names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from .. import (
    InputError,
    Keypoints,
    MotionField,
    MotionModel,
    Portrait,
)
from ..data.pairs import Pairs, Truth
from . import losses
from .recipe import Stage
from .warps import Transform, random_transform

# Where a family's heatmaps come from: the convolution before its softmax
HEADS = {
    "fomm": "kp_detector.kp",
    "mraa": "region_predictor.regions",
    "copart": "segmentation_module.shift",
    "monkeynet": "kp_detector.predictor.decoder.conv",
}
# need no more than keypoints
POINTS_ALONE = (
    "equivariance",
    "equivariance_frames",
    "avd",
    "joints",
    "heatmaps",
    "displacement",
    "frames",
    "follow",
)


class Attempt:
    """Nothing is computed but what losses ask for, and that once.

    X2Face, which has no keypoints, is a field read from an embedded face.
    """

    def __init__(
        self,
        model: MotionModel,
        pairs: Pairs,
        stage: Stage,
        generator: torch.Generator,
        background: bool = True,
        vgg: nn.Module | None = None,
        discriminator: nn.Module | None = None,
    ) -> None:
        self.model: Any = model
        self.pairs, self.stage, self.generator = pairs, stage, generator
        self.with_background, self.vgg, self.discriminator = background, vgg, discriminator
        self.whole = any(name not in POINTS_ALONE for name in stage.losses)
        # of heatmaps, of the source and the driving frame, where a loss needs them
        self.logits: dict[str, Tensor] = {}

    @cached_property
    def truth(self) -> Truth:
        if self.pairs.truth is None:
            raise InputError(
                "These losses need a truth, which only puppets bring; train without them on clips."
            )
        return self.pairs.truth

    @cached_property
    def portrait(self) -> Portrait:
        portrait = self._watched("source", lambda: self.model.encode(self.pairs.source))
        return (
            self.model.repose(portrait, self._told(self.truth.source, portrait.keypoints))
            if self.stage.teacher
            else portrait
        )

    @cached_property
    def source(self) -> Keypoints:
        """The source's keypoints, as detected (or told)."""
        return (
            self.portrait.keypoints
            if self.whole
            else self._watched("source", lambda: self.model.detect(self.pairs.source))
        )

    @cached_property
    def driving(self) -> Any:
        return self._watched("driving", lambda: self.model.detect(self.pairs.driving))

    @cached_property
    def pose(self) -> Any:
        """The driving keypoints, as detected (or told)."""
        return self._told(self.truth.driving, self.driving) if self.stage.teacher else self.driving

    @cached_property
    def field(self) -> MotionField:
        if self.model.many_sources:
            return MotionField(self.driving.grid, align_corners=self.model.spec.align_corners)
        return self.model.motion(
            self.portrait, self.pose, frames=self.pairs.driving if self.with_background else None
        )

    @cached_property
    def prediction(self) -> Tensor:
        if self.model.many_sources:  # one source each: the embedded face is that, unwrapped
            grid, _ = self.model.unwrap(self.model.accept(self.pairs.source))
            return self.field.warp(
                MotionField(grid, align_corners=self.model.spec.align_corners).warp(
                    self.pairs.source
                )
            )
        return self.model.generate(self.portrait, self.field)

    @cached_property
    def transform(self) -> Transform:
        return random_transform(
            len(self.pairs.driving), self.stage.warp, self.generator, self.pairs.driving.device
        )

    @cached_property
    def warped(self) -> Keypoints:
        """Keypoints of the driving frame seen through the transform."""
        return self.model.detect(self.transform.warp(self.pairs.driving))

    @cached_property
    def judged(self) -> tuple[list[Tensor], list[Tensor]]:
        assert self.discriminator is not None
        return self.discriminator(self.prediction)

    def _told(self, true: Keypoints, own: Keypoints) -> Keypoints:
        """The truth, told as unsurely as a detector would: both frames' points are off alike, and
        each a little by itself.
        """
        matched_points(self.model, true, own)
        shared, error = self.teacher_errors, self.stage.teacher_error
        position = true.position + error * (shared[0] + 0.4 * self._noise(true.position))
        if true.jacobian is None or own.jacobian is None:
            return Keypoints(position)
        return Keypoints(
            position, true.jacobian + 2.5 * error * (shared[1] + 0.4 * self._noise(true.jacobian))
        )

    @cached_property
    def teacher_errors(self) -> tuple[Tensor, Tensor]:
        position = self.truth.source.position
        return self._noise(position), self._noise(position[..., None].expand(-1, -1, -1, 2))

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator).to(like.device)

    def _watched(self, name: str, call: Callable[[], Any]) -> Any:
        if "heatmaps" not in self.stage.losses:
            return call()
        head = self.model.get_submodule(HEADS[self.model.family])
        handle = head.register_forward_hook(
            lambda _module, _inputs, output: self.logits.setdefault(name, output)
        )
        try:
            return call()
        finally:
            handle.remove()

    def detected(self) -> tuple[Keypoints, Keypoints]:
        """Of source and driving frame, fit to compare with the truth."""
        source = self.source
        matched_points(self.model, self.truth.source, source)
        return source, self.driving


def matched_points(model: MotionModel, true: Keypoints, own: Keypoints) -> None:
    if true.count != own.count:
        raise InputError(
            f"The truth has {true.count} joints and this {model.family} model {own.count}"
            " keypoints; build it with as many."
        )


def _background(a: Attempt) -> Tensor:
    there = a.model.bg_predictor(a.pairs.source, a.pairs.driving)
    return losses.background_loss(there, a.model.bg_predictor(a.pairs.driving, a.pairs.source))


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


def _avd(a: Attempt) -> Tensor:
    """The driving keypoints stretched along each axis, as if another's: the network is to give them
    back unstretched (MRAA, section 3.3).
    """
    with torch.no_grad():
        source, driving = a.model.detect(a.pairs.source), a.model.detect(a.pairs.driving)
    random = torch.rand(len(driving), 1, 2, generator=a.generator).to(driving.position.device)
    scale = 1 + a.stage.pose_scale * (2 * random - 1)
    frames = None if driving.jacobian is None else scale[..., None] * driving.jacobian
    found = a.model.avd(source, Keypoints(driving.position * scale, frames))
    loss = (found.position - driving.position).abs().mean()
    return loss if frames is None else loss + (found.jacobian - driving.jacobian).abs().mean()


def _matching(a: Attempt) -> Tensor:
    assert a.discriminator is not None
    return losses.features_l1(a.judged[0], a.discriminator(a.pairs.driving)[0])


def _perceptual(a: Attempt) -> Tensor:
    assert a.vgg is not None
    with torch.no_grad():
        wanted = a.vgg(a.pairs.driving)
    return losses.features_l1(a.vgg(a.prediction), wanted)


def _warp(a: Attempt) -> Tensor:
    return losses.warp_loss(
        a.portrait.features, a.model.inpainting_network.encode(a.pairs.driving), a.field
    )


def _figure(a: Attempt) -> Tensor:
    portrait: Any = a.portrait
    return losses.figure_told(portrait.figure, a.truth)


def _half_turns(a: Attempt) -> bool:
    return getattr(a.model.spec, "revert_axis_swap", False)


TERMS: dict[str, Callable[[Attempt], Tensor]] = {
    "perceptual": _perceptual,
    "pyramid": lambda a: losses.pyramid_l1(a.prediction, a.pairs.driving),
    "gradient": lambda a: losses.gradient_l1(a.prediction, a.pairs.driving),
    "equivariance": lambda a: losses.equivariance(a.driving, a.warped, a.transform),
    "equivariance_frames": lambda a: losses.equivariance_frames(
        a.driving, a.warped, a.transform, _half_turns(a)
    ),
    "warp": _warp,
    "background": _background,
    "adversarial": lambda a: losses.fooled(a.judged[1]),
    "matching": _matching,
    "avd": _avd,
    "joints": _joints,
    "heatmaps": _heatmaps,
    "displacement": lambda a: losses.displacement_error(*a.detected(), a.truth),
    "frames": lambda a: losses.frames_l1(*a.detected(), a.truth),
    "follow": lambda a: losses.follows_flow(*a.detected(), a.truth),
    "near_joints": lambda a: losses.near_joints_l1(a.prediction, a.pairs.driving, a.truth),
    "hidden": lambda a: losses.hidden_l1(a.prediction, a.pairs.driving, a.truth),
    "figure": _figure,
    "flow": lambda a: losses.flow_l1(a.field, a.truth),
    "motions": lambda a: losses.motions_likelihood(a.field, a.portrait.keypoints, a.pose, a.truth),
    "subject": lambda a: losses.subject_told(a.field, a.truth),
    "occlusion": lambda a: losses.occlusion_entropy(a.field, a.truth.visible),
    "overlap": lambda a: losses.hidden_overlap(a.field, a.truth.visible),
    "near_hidden": lambda a: losses.near_hidden(a.field, a.truth),
}


def check(model: MotionModel, stage: Stage) -> None:
    """That the family has what the stage's losses are about. Raises InputError."""
    network: Any = model
    side = max(model.smallest, model.size // model.multiple * model.multiple)
    with torch.no_grad():
        points = model.eval().detect(
            torch.zeros(1, model.spec.channels, side, side, device=model.device)
        )
    missing = {
        "equivariance_frames": (
            getattr(points, "jacobian", None) is None and "keypoints without frames"
        ),
        "frames": getattr(points, "jacobian", None) is None and "keypoints without frames",
        "warp": model.family != "tpsmm" and "no features at several sizes",
        "background": getattr(network, "bg_predictor", None) is None and "no background predictor",
        "avd": getattr(network, "avd_network", None) is None and "no avd network",
        "figure": not getattr(model.spec, "figure", 0) and "no figure",
        "heatmaps": model.family not in HEADS and "no heatmaps",
        "occlusion": model.family == "monkeynet" and "no occlusion",
        "overlap": model.family == "monkeynet" and "no occlusion",
        "near_hidden": model.family == "monkeynet" and "no occlusion",
    }
    if not isinstance(points, Keypoints):
        missing |= dict.fromkeys(
            set(TERMS) - {"perceptual", "pyramid", "gradient", "adversarial", "matching"},
            "no keypoints",
        )
    for name in stage.losses:
        if missing.get(name):
            raise InputError(
                f"The loss {name} of stage {stage.name} cannot be had: this {model.family} model"
                f" has {missing[name]}; leave it out."
            )
