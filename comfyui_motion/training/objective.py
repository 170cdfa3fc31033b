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
from .ranks import ALONE, Ranks
from .recipe import Stage
from .table import LACKS, LOSSES
from .warps import Transform, random_transform


class Attempt:
    """Nothing is computed but what losses ask for, and that once."""

    def __init__(
        self,
        model: MotionModel,
        pairs: Pairs,
        stage: Stage,
        generator: torch.Generator,
        background: bool = True,
        vgg: nn.Module | None = None,
        discriminator: nn.Module | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.model: Any = model
        self.ranks = ranks
        self.pairs, self.stage, self.generator = pairs, stage, generator
        self.with_background, self.vgg, self.discriminator = background, vgg, discriminator
        self.whole = not all(LOSSES[name].points_alone for name in stage.losses)
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
        portrait = self._watched("source", lambda: self.model.portraits(self.pairs.source))
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
        return self.model.motion(
            self.portrait, self.pose, frames=self.pairs.driving if self.with_background else None
        )

    @cached_property
    def prediction(self) -> Tensor:
        return self.model.generate(self.portrait, self.field)

    @cached_property
    def transform(self) -> Transform:
        driving = self.pairs.driving
        count = len(driving) * self.ranks.count  # the whole batch's: as one process would draw them
        drawn = random_transform(count, self.stage.warp, self.generator, driving.device)
        return drawn[self.ranks.share(count)]

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
        return self.drawn(torch.randn, *like.shape).to(like.device)

    def drawn(self, draw: Callable[..., Tensor], count: int, *shape: int) -> Tensor:
        """This process's share of what is drawn for the whole batch. count ..."""
        whole = draw(count * self.ranks.count, *shape, generator=self.generator)
        return whole[self.ranks.share(len(whole))]

    def _watched(self, name: str, call: Callable[[], Any]) -> Any:
        if "heatmaps" not in self.stage.losses:
            return call()
        head = self.model.get_submodule(self.model.heatmap_head)
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


def check(model: MotionModel, stage: Stage) -> None:
    """That the family has what the stage's losses are about. Raises InputError."""
    for name in stage.losses:
        lacking = [need for need in LOSSES[name].of_the_family if need not in model.offers]
        if lacking:
            raise InputError(
                f"The loss {name} of stage {stage.name} cannot be had: this {model.family} model"
                f" has {LACKS[lacking[0]]}; leave it out."
            )
