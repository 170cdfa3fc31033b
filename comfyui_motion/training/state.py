"""A run on its way: networks, optimisers, averages; how it is written down whole and taken up
again, and how it is interrupted.
"""

from __future__ import annotations

import copy
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import CheckpointError, InputError, MotionModel
from ..doors.documents import read_json
from ..doors.weights import check_numbers
from ..errors import boundary
from .adversary import Discriminator
from .ranks import ALONE, Ranks, share_norms
from .recipe import Recipe, Stage, written
from .saved import read_content, state_file, write_content

FORMAT = "comfyui_motion.training 1"
MAY_CHANGE = (
    "save_every",
    "sheet_every",
    "log_every",
    "tensorboard",
    "share_norms",
)  # between a run and its continuation


class Run:
    """What changes while training."""

    def __init__(
        self,
        model: MotionModel,
        average: MotionModel,
        discriminator: Discriminator | None,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        self.model, self.average, self.discriminator, self.device = (
            model,
            average,
            discriminator,
            device,
        )
        self.step = 0
        self.stage = -1  # the first step of the stage that the optimiser belongs to
        self.optimiser: torch.optim.Optimizer
        self.critic: torch.optim.Optimizer
        # run a function of the network, of the discriminator, with gradients of all processes
        self.together: Callable[[Callable[[], Any]], Any]
        self.judging: Callable[[Callable[[], Any]], Any]
        self.adversarial = False
        self.sums: dict[str, float] = {}  # of losses since they were last written down
        self.counted = 0
        self.waiting: dict[str, Any] = {}  # states of optimisers, read before the stage was entered

    @staticmethod
    def start(
        recipe: Recipe, model: MotionModel, device: torch.device, ranks: Ranks = ALONE
    ) -> Run:
        model = model.to(device)
        if recipe.share_norms and ranks.count > 1:
            share_norms(model)
        for parameter in model.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        average = copy.deepcopy(model).eval().requires_grad_(False)
        against = any(
            name in stage.losses for stage in recipe.stages for name in ("adversarial", "matching")
        )
        discriminator = (
            Discriminator(model.spec.channels, recipe.data.size or model.size).to(device)
            if against
            else None
        )
        return Run(model, average, discriminator, device, ranks)

    def enter(self, stage: Stage, first: int) -> None:
        """Freeze what the stage does not train, and give the rest an optimiser."""
        self.stage = first
        groups = trained(self.model, stage)
        self.optimiser = adam(groups, stage, self.device, stage.weight_decay)
        self.adversarial = any(name in stage.losses for name in ("adversarial", "matching"))
        if self.adversarial and self.discriminator is not None:
            self.critic = adam(
                [{"params": list(self.discriminator.parameters())}], stage, self.device
            )
        self.together = self.ranks.together(self.model)
        if self.adversarial and self.discriminator is not None:
            self.let_discriminator_learn(True)
            self.judging = self.ranks.together(self.discriminator)
        if self.waiting.get("stage") == first:
            damaged = self.waiting["damaged"]
            _take_up(self.optimiser, self.waiting["optimiser"], damaged)
            if self.adversarial:
                _take_up(self.critic, self.waiting["critic"], damaged)
        self.waiting = {}

    def set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        if self.adversarial:
            for group in self.critic.param_groups:
                group["lr"] = rate

    def let_discriminator_learn(self, learn: bool) -> None:
        if self.discriminator is not None:
            self.discriminator.requires_grad_(learn)

    def add(self, values: dict[str, float]) -> None:
        self.counted += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Of the losses since the last time."""
        means = {name: total / self.counted for name, total in self.sums.items()}
        self.sums, self.counted = {}, 0
        return means

    @torch.no_grad()
    def average_in(self, decay: float) -> None:
        """The average moves towards the weights, faster at first, and with it the norms'
        statistics: the last few batches' are not its own.
        """
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for ours, theirs in zip(self.average.parameters(), self.model.parameters(), strict=True):
            ours.lerp_(theirs, 1 - decay)
        for (name, ours), theirs in zip(
            self.average.named_buffers(), self.model.buffers(), strict=True
        ):
            if name.rpartition(".")[2] in ("running_mean", "running_var"):
                ours.lerp_(theirs, 1 - decay)
            else:
                ours.copy_(theirs)


def adam(
    groups: list[dict[str, Any]], stage: Stage, device: torch.device, weight_decay: float = 0.0
) -> torch.optim.Adam:
    """In one pass over the weights where the device has that."""
    fused = device.type in ("cpu", "cuda")
    return torch.optim.Adam(
        groups,
        lr=stage.lr,
        betas=(stage.betas[0], stage.betas[1]),
        weight_decay=weight_decay,
        fused=fused,
    )


def trained(model: MotionModel, stage: Stage) -> list[dict[str, Any]]:
    """The optimiser's groups, one for each factor on the rate.

    All else is frozen and, its norms with it, at rest. Raises InputError.
    """
    model.requires_grad_(False).eval()
    prefixes = stage.trains or [
        name for name, _ in model.named_children() if name not in model.trained_apart
    ]
    for prefix in (*prefixes, *stage.rates):
        if not isinstance(dict(model.named_modules()).get(prefix), nn.Module):
            there = ", ".join(name for name, _ in model.named_children())
            raise InputError(
                f"Stage {stage.name} names {prefix!r}, which this {model.family} model has not; it"
                f" has {there}, and what is inside those."
            )
    for prefix in prefixes:
        model.get_submodule(prefix).train().requires_grad_(True)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            fitting = [prefix for prefix in stage.rates if name.startswith(f"{prefix}.")]
            groups.setdefault(stage.rates[max(fitting, key=len)] if fitting else 1.0, []).append(
                parameter
            )
    return [{"params": parameters, "factor": factor} for factor, parameters in groups.items()]


def write_state(run: Run, recipe: Recipe, folder: Path) -> None:
    """All that a run needs to go on. Whole or not at all."""
    content = {
        "format": FORMAT,
        "recipe": json.dumps(written(recipe)),
        "step": run.step,
        "stage": run.stage,
        "model": run.model.state_dict(),
        "average": run.average.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "discriminator": run.discriminator.state_dict() if run.discriminator is not None else {},
        "critic": run.critic.state_dict() if run.adversarial else {},
        "sums": run.sums,
        "counted": run.counted,
    }
    write_content(content, folder)


def read_state(run: Run, recipe: Recipe, folder: Path) -> None:
    """Take up a run. Raises InputError where the state is another recipe's, or damaged."""
    path = state_file(folder)
    advice = "train in another folder, or afresh (--fresh)"
    unreadable = f"{path} cannot be read ({{reason}}); {advice}."
    with boundary(InputError, unreadable), _told_as_input(advice):
        content = read_content(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is no state of this trainer; {advice}.")
    _check_recipe(content, recipe, folder)
    damaged = f"{path} is damaged ({{reason}}); {advice}."
    with boundary(InputError, damaged), _told_as_input(advice):
        _check_counts(content, recipe)
        run.step, run.sums, run.counted = content["step"], content["sums"], content["counted"]
        for module, name in _modules(run):
            check_numbers(content[name], path.name)
            module.load_state_dict(content[name])
    run.waiting = {name: content.get(name) for name in ("stage", "optimiser", "critic")}
    run.waiting["damaged"] = damaged


@contextmanager
def _told_as_input(advice: str) -> Iterator[None]:
    """A state is read as checkpoints are, and is none of the user's models."""
    try:
        yield
    except CheckpointError as error:
        raise InputError(f"{error} To go on, {advice}.") from error


def _modules(run: Run) -> list[tuple[nn.Module, str]]:
    found: list[tuple[nn.Module, str]] = [(run.model, "model"), (run.average, "average")]
    return found + ([(run.discriminator, "discriminator")] if run.discriminator else [])


def _check_recipe(content: dict[str, Any], recipe: Recipe, folder: Path) -> None:
    """The state's recipe is the one that goes on."""
    before = read_json(
        str(content.get("recipe")), InputError, f"The recipe in {folder}", "train afresh"
    )
    now = json.loads(json.dumps(written(recipe)))
    before = before if isinstance(before, dict) else {}
    changed = [name for name in now if name not in MAY_CHANGE and before.get(name) != now[name]]
    if changed:
        raise InputError(
            f"{folder} holds a run of another recipe: {changed[0]} differ; train in another folder,"
            " or afresh."
        )


def _check_counts(content: dict[str, Any], recipe: Recipe) -> None:
    """Numbers that a run can have reached."""
    sums, counts = content["sums"], [content[name] for name in ("step", "stage", "counted")]
    known = {name for stage in recipe.stages for name in stage.losses} | {"total", "discriminator"}
    if not all(
        type(count) is int and count >= low for count, low in zip(counts, (0, -1, 0), strict=True)
    ):
        raise ValueError("a count that is none")
    if content["step"] > recipe.steps or bool(sums) > bool(content["counted"]):
        raise ValueError("it counts more steps than the recipe has")
    if set(sums) - known or not all(type(value) is float for value in sums.values()):
        raise ValueError("sums of losses that the recipe does not have")


def _take_up(optimiser: torch.optim.Optimizer, state: Any, damaged: str) -> None:
    """Give an optimiser its state, if it is one of these weights with these settings."""
    with boundary(InputError, damaged):
        fresh = [_settings(group) for group in optimiser.param_groups]
        optimiser.load_state_dict(state)
        if [_settings(group) for group in optimiser.param_groups] != fresh:
            raise ValueError("its optimiser has other settings")
        for parameter, values in optimiser.state.items():
            for name, value in list(values.items()):
                shape = () if name == "step" else parameter.shape
                if not isinstance(value, torch.Tensor) or value.shape != shape:
                    raise ValueError("its optimiser is of other weights")
                if not value.isfinite().all():
                    raise ValueError("its optimiser holds numbers that are not finite")
                if shape:  # laid out in memory as the weights are
                    values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """What the recipe decides of a group; its rate and its weights change."""
    return {name: value for name, value in group.items() if name not in ("lr", "params")}


class Interrupts:
    """SIGINT and SIGTERM wait for the step to end; a second one does not."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._note)
                for number in (signal.SIGINT, signal.SIGTERM)
            }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
