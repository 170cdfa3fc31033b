"""The loop: batches in, a model that `motion.load` takes out, and a folder from which a run that
was stopped goes on as if it had not been.

Everything random is drawn from the recipe's seed and the step's number, so that a resumed run meets
the same batches, warps and dropout, and ends, on a CPU, with the same bits. The folder holds
`model.safetensors` (the averaged weights), `state.safetensors`, `log.csv`, `losses.png` and sheets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import (
    InputError,
    MotionModel,
    TrainingError,
    build,
    load,
    save,
)
from ..data.pairs import Pairs, PairSource, Truth
from ..data.prefetch import batches, seed_for
from ..errors import MediaError, boundary
from . import losses
from .objective import Attempt, check
from .precision import narrow_convolutions
from .ranks import ALONE, Ranks, Share
from .recipe import Recipe, Stage
from .record import Record, draw_sheet, measure
from .saved import state_file
from .state import (
    Interrupts,
    Run,
    read_state,
    write_state,
)
from .table import LOSSES
from .vgg import load_vgg


@dataclass(frozen=True)
class Progress:
    """What a progress callable is told after every step."""

    step: int
    steps: int
    stage: str
    losses: dict[str, float]


def train(
    recipe: Recipe,
    pairs: PairSource,
    folder: str | Path,
    *,
    device: torch.device | str | None = None,
    resume: bool = True,
    progress: Callable[[Progress], None] | None = None,
    validation: PairSource | None = None,
    vgg: str | Path | None = None,
    ranks: Ranks = ALONE,
) -> Path:
    """Follow the recipe to its end; the path of the finished model.

    `resume`: go on where the folder's state is, if there is one. `validation`: pairs that are never
    trained on, measured and drawn. `vgg`: a file of VGG-19's weights for the perceptual loss.
    `ranks`: the processes that train together, of which one writes and tells of progress. An
    interrupt (Ctrl-C, SIGTERM, or an error out of `progress`) leaves a state to go on from. Raises
    InputError for a recipe that does not fit, TrainingError where a loss becomes NaN or infinite.
    """
    folder, device = (
        Path(folder),
        torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")),
    )
    with boundary(MediaError, f"{folder} cannot be made a folder ({{reason}})."):
        folder.mkdir(parents=True, exist_ok=True)
    recipe = without_vgg(recipe.in_steps(getattr(pairs, "epoch", None)), vgg is not None)
    judge = load_vgg(vgg).to(device) if vgg else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        run = Run.start(recipe, starting_model(recipe), device, ranks)
        for stage in recipe.stages:
            ranks.share(stage.batch)
        for stage in recipe.stages:
            check(run.model, stage)
        if resume and state_file(folder).exists():
            read_state(run, recipe, folder)
        record = Record(folder, recipe, run.step)
        with Interrupts() as interrupts:
            for first, stage in starts(recipe):
                if run.step < first + stage.steps:
                    _train_stage(
                        run,
                        recipe,
                        stage,
                        first,
                        pairs,
                        folder,
                        record,
                        interrupts,
                        progress,
                        validation,
                        judge,
                    )
        if recipe.settle:
            settle(run.average, recipe, pairs)
            if ranks.leads:
                save(run.average, folder / "model.safetensors")
    return folder / "model.safetensors"


def _train_stage(
    run: Run,
    recipe: Recipe,
    stage: Stage,
    first: int,
    pairs: PairSource,
    folder: Path,
    record: Record,
    interrupts: Interrupts,
    progress: Callable[[Progress], None] | None,
    validation: PairSource | None,
    judge: nn.Module | None,
) -> None:
    run.enter(stage, first)
    offset = sum(
        earlier.steps * earlier.accumulate for start, earlier in starts(recipe) if start < first
    )
    numbers = range(
        offset + (run.step - first) * stage.accumulate, offset + stage.steps * stage.accumulate
    )
    shared = Share(pairs, run.ranks) if run.ranks.count > 1 else pairs
    stream = batches(shared, numbers, stage.batch, recipe.data.workers)
    last = first + stage.steps
    while run.step < last:
        values = take_step(run, recipe, stage, run.step - first, stream, judge)
        run.step += 1
        run.add(values)
        ended = run.step == last
        stopped = run.ranks.any(interrupts.asked, run.device)
        if not run.ranks.leads:
            if stopped:
                raise KeyboardInterrupt
            continue
        if run.step % recipe.log_every == 0 or ended:
            record.write(run, stage)
        if run.step % recipe.sheet_every == 0 or ended:
            record.write_measured(
                run, measure(run.average, validation, stage) if validation else {}
            )
            draw_sheet(run.average, validation or pairs, stage, folder / f"sheet-{run.step}.png")
            record.plot()
        if run.step % recipe.save_every == 0 or ended or stopped:
            keep(run, recipe, folder)
        try:
            if stopped:
                raise KeyboardInterrupt
            if progress:
                progress(Progress(run.step, recipe.steps, stage.name, values))
        except BaseException:
            keep(run, recipe, folder)
            raise


@torch.no_grad()
def settle(model: MotionModel, recipe: Recipe, pairs: PairSource) -> None:
    """Batch norms' means and variances, measured anew with weights that no longer change (Izmailov
    et al., 2018, section 3.2).

    Those from training lag behind averaged weights, and small batches make them unsteady.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # plain averages
        norm.train()
    last = recipe.stages[-1]
    first = sum(stage.steps * stage.accumulate for stage in recipe.stages)
    for _, batch in batches(
        pairs, range(first, first + recipe.settle), last.batch, recipe.data.workers
    ):
        _ = Attempt(model, placed(batch, model.device), last, torch.Generator()).prediction
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def keep(run: Run, recipe: Recipe, folder: Path) -> None:
    """The state to go on from, and the model to use."""
    write_state(run, recipe, folder)
    save(run.average, folder / "model.safetensors")


def starts(recipe: Recipe) -> Iterator[tuple[int, Stage]]:
    """Each stage with the number of its first step."""
    first = 0
    for stage in recipe.stages:
        yield first, stage
        first += stage.steps


def take_step(
    run: Run,
    recipe: Recipe,
    stage: Stage,
    time: int,
    stream: Iterator[tuple[int, Pairs]],
    judge: nn.Module | None,
) -> dict[str, float]:
    """One step of the optimiser, `time` steps into the stage; the losses, unweighted."""
    run.set_rate(rate_at(stage, time))
    set_dropout(run.model, stage, time)
    run.optimiser.zero_grad()
    sums: dict[str, float] = {}
    for _ in range(stage.accumulate):
        number, pairs = next(stream)
        own = "model" if run.ranks.leads else f"model of rank {run.ranks.rank}"
        torch.manual_seed(seed_for(recipe.seed, own, number))
        generator = torch.Generator().manual_seed(seed_for(recipe.seed, "losses", number))
        attempt = Attempt(
            run.model,
            placed(pairs, run.device),
            stage,
            generator,
            time >= stage.background_from,
            judge,
            run.discriminator if run.adversarial else None,
            run.ranks,
        )
        for name, value in descend(run, stage, attempt, run.step + 1).items():
            sums[name] = sums.get(name, 0.0) + value / stage.accumulate
    clip(run.optimiser, stage, run.step + 1)
    run.optimiser.step()
    if run.adversarial:
        run.critic.step()
        run.critic.zero_grad()
    run.average_in(recipe.ema)
    return sums


def descend(run: Run, stage: Stage, attempt: Attempt, step: int) -> dict[str, float]:
    """Gradients of one batch, the discriminator's with them."""
    run.let_discriminator_learn(False)
    with narrow_convolutions(stage.precision):
        terms = run.together(lambda: {name: LOSSES[name].term(attempt) for name in stage.losses})
    total = sum(
        (weight * terms[name] for name, weight in stage.losses.items()),
        start=torch.zeros((), device=run.device),
    )
    values = {**{name: term.detach() for name, term in terms.items()}, "total": total.detach()}
    numbers = torch.stack([value.float() for value in values.values()]).tolist()
    values = run.ranks.means(dict(zip(values, numbers, strict=True)), run.device)
    require_numbers(values, step, stage)
    (total / stage.accumulate).backward()
    discriminator = run.discriminator
    if run.adversarial and discriminator is not None:
        run.let_discriminator_learn(True)
        with narrow_convolutions(stage.precision):
            told = run.judging(lambda: losses.told_apart(*judged(discriminator, attempt)))
        (told / stage.accumulate).backward()
        values |= run.ranks.means({"discriminator": float(told.detach())}, run.device)
        require_numbers(values, step, stage)
    return values


def judged(discriminator: nn.Module, attempt: Attempt) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """What it says of the driving frames, and of the predictions, at each of its sizes."""
    real, made = (
        discriminator(pictures)[1]
        for pictures in (attempt.pairs.driving, attempt.prediction.detach())
    )
    return real, made


def require_numbers(values: dict[str, float], step: int, stage: Stage) -> None:
    wrong = [name for name, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise unsound(f"loss {wrong[0]}", values[wrong[0]], step, stage)


def unsound(what: str, value: float, step: int, stage: Stage) -> TrainingError:
    return TrainingError(
        f"The {what} became {value} at step {step} (stage {stage.name}): training stopped before"
        " any weight changed, and the last state saved is from before. Lower lr, set clip or"
        ' precision = "float32" in the recipe, and run the same command to go on from there.'
    )


def placed(pairs: Pairs, device: torch.device) -> Pairs:
    """On the device, pictures in the memory order that convolutions like best."""
    truth = pairs.truth
    if truth is not None:
        maps = (truth.grid, truth.visible, truth.known, truth.figure, truth.subject)
        grid, visible, known, figure, subject = (
            value.to(device, non_blocking=True) for value in maps
        )
        truth = Truth(
            grid, visible, truth.source.to(device), truth.driving.to(device), known, figure, subject
        )
    source, driving = (
        p.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        for p in (pairs.source, pairs.driving)
    )
    return Pairs(source, driving, truth)


def clip(optimiser: torch.optim.Optimizer, stage: Stage, step: int) -> None:
    """The gradient, no longer than the stage allows.

    Raises TrainingError where that is NaN or infinite: a step with it would spoil every weight.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    length = float(nn.utils.clip_grad_norm_(parameters, stage.clip or math.inf, stage.clip_norm))
    if not math.isfinite(length):
        raise unsound("length of the gradient", length, step, stage)


def rate_at(stage: Stage, time: int) -> float:
    """The learning rate, `time` steps into the stage."""
    rising = min(1.0, (time + 1) / stage.warmup) if stage.warmup else 1.0
    if stage.schedule == "cosine":
        return (
            stage.lr
            * rising
            * (stage.decay + (1 - stage.decay) * (1 + math.cos(math.pi * time / stage.steps)) / 2)
        )
    return (
        stage.lr * rising * stage.decay ** sum(time >= milestone for milestone in stage.milestones)
    )


def set_dropout(model: MotionModel, stage: Stage, time: int) -> None:
    if stage.dropout:
        model.drop_contributions(stage.dropout.at(time))


def without_vgg(recipe: Recipe, there: bool) -> Recipe:
    """Where there is no VGG file, the perceptual loss becomes a pyramid and its gradient, of the
    same weight.
    """
    if there:
        return recipe

    def changed(stage: Stage) -> dict[str, float]:
        table = dict(stage.losses)
        weight = table.pop("perceptual", 0.0)
        return {**dict.fromkeys(("pyramid", "gradient") if weight else (), weight), **table}

    return replace(
        recipe, stages=tuple(replace(stage, losses=changed(stage)) for stage in recipe.stages)
    )


def starting_model(recipe: Recipe) -> MotionModel:
    """Untrained, or with what fits of the checkpoint that the recipe starts from.

    Raises InputError
    """
    if not recipe.start_from:
        return build(recipe.family, **recipe.parameters)
    other = load(recipe.start_from, device="cpu")
    # what the recipe does not say is as it was
    own = asdict(other.spec) if other.family == recipe.family else {}
    model = build(recipe.family, **{**own, **recipe.parameters})
    given = model.adopted(other.family, other.state_dict())
    wanted = model.state_dict()
    fitting = {
        name: tensor
        for name, tensor in given.items()
        if name in wanted and wanted[name].shape == tensor.shape
    }
    if not fitting:
        raise InputError(
            f"Nothing of {recipe.start_from}, a {other.family} checkpoint, fits the {recipe.family}"
            " model of this recipe."
        )
    model.load_state_dict(fitting, strict=False)
    return model
