"""comfyui-motion train: a recipe, its data, and what to say of both before the first step."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .. import InputError
from ..data.clips import Augment, Clips
from ..data.pairs import PairSource
from ..data.puppets.clips import UNSEEN, Puppets
from ..devices import device_of
from ..training.ranks import Ranks, ranks_of_environment
from ..training.recipe import Recipe, presets, read_recipe, size_of
from ..training.saved import state_file
from ..training.table import LOSSES
from ..training.trainer import Progress, train
from .bar import Bar
from .out import AT_ONCE, Number, say

EPILOG = "losses of a recipe:\n" + "\n".join(
    f"  {name:20} {loss.help}{' (of drawn clips)' * loss.supervised}"
    for name, loss in LOSSES.items()
)
GRACE = None  # it ends itself, and writes down how far it is
PUPPETS = "puppets"


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "recipe",
        metavar="RECIPE.toml|PRESET",
        help=f"what to train and how, as a file, or a preset: {', '.join(presets())}",
    )
    command.add_argument(
        "--data",
        required=True,
        metavar="DIR|puppets",
        help="a folder of videos, with train/ inside or without, or drawn puppets",
    )
    command.add_argument(
        "-o",
        "--out",
        metavar="DIR",
        help="where the model, its state, its log and sheets go (runs/RECIPE)",
    )
    command.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="of all stages together, each in proportion (the recipe's)",
    )
    command.add_argument(
        "--batch", type=AT_ONCE, metavar="N", help="pairs at a time (the recipe's)"
    )
    command.add_argument(
        "--seed", type=int, metavar="N", help="of everything random (the recipe's)"
    )
    command.add_argument(
        "--start-from", metavar="FILE", help="a checkpoint whose tensors are taken where they fit"
    )
    command.add_argument(
        "--vgg",
        metavar="FILE",
        help=(
            "VGG-19's weights as torchvision names them, for the perceptual loss (a pyramid in its"
            " place)"
        ),
    )
    command.add_argument(
        "--threads",
        type=Number(1, 1024),
        metavar="N",
        help="of the processor, for the network (all)",
    )
    command.add_argument("--device", help="cpu, cuda ... (a GPU where there is one)")
    again = command.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        action="store_true",
        help="go on from the folder's state, and refuse where there is none (where there is one)",
    )
    again.add_argument(
        "--fresh", action="store_true", help="start again where there is a state to go on from"
    )


def run(options: argparse.Namespace) -> None:
    """A recipe to its end, or on from where it was stopped."""
    if options.threads:
        torch.set_num_threads(options.threads)
    with ranks_of_environment(options.device) as (ranks, options.device):
        training = Training.plan(options)
        if not ranks.leads:
            training.run(ranks)
            return
        say(training.about(), flush=True)
        with Bar("training", "step") as bar:
            said = training.run(ranks, bar.told)
        say(said)


@dataclass(frozen=True)
class Training:
    """A run that is ready to start."""

    recipe: Recipe
    pairs: PairSource
    validation: PairSource | None
    folder: Path
    options: argparse.Namespace

    @staticmethod
    def plan(options: argparse.Namespace) -> Training:
        """From the command line's options. Raises InputError."""
        changes = {
            name: getattr(options, name)
            for name in ("seed", "start_from")
            if getattr(options, name) is not None
        }
        recipe = read_recipe(options.recipe, **changes)
        if options.batch:
            recipe = replace(
                recipe, stages=tuple(replace(stage, batch=options.batch) for stage in recipe.stages)
            )
        pairs, validation = open_data(options.data, recipe)
        recipe = recipe.in_steps(getattr(pairs, "epoch", None))
        recipe = recipe.lasting(options.steps) if options.steps else recipe
        if recipe.supervised and options.data != PUPPETS:
            raise InputError(
                f"This recipe needs a truth ({recipe.supervised[0]}), which clips do not have;"
                " train it on --data puppets."
            )
        folder = Path(options.out or Path("runs") / Path(options.recipe).stem)
        if options.resume and not state_file(folder).exists():
            raise InputError(f"{folder} has no state to go on from; leave --resume out to start.")
        return Training(recipe, pairs, validation, folder, options)

    def about(self) -> str:
        """What will be done, and what is missing for it."""
        recipe, stages = (
            self.recipe,
            ", ".join(f"{stage.name} {stage.steps}" for stage in self.recipe.stages),
        )
        lines = [f"{recipe.family}, {recipe.steps} steps ({stages}) into {self.folder}"]
        if isinstance(self.pairs, Clips):
            lines.append(
                f"{len(self.pairs)} videos of {self.pairs.root}"
                + (f", {recipe.data.hold_out} held out" if recipe.data.hold_out else "")
            )
        if any("perceptual" in stage.losses for stage in recipe.stages) and not self.options.vgg:
            lines.append(
                "no VGG file (--vgg): a pyramid of L1 and gradients in place of the perceptual"
                " loss; pictures will be softer than the papers'"
            )
        return "\n".join(lines)

    def run(self, ranks: Ranks, progress: Callable[[Progress], None] | None = None) -> str:
        """To its end; what to say of it."""
        options = self.options
        path = train(
            self.recipe,
            self.pairs,
            self.folder,
            device=options.device and device_of(options.device),
            resume=not options.fresh,
            progress=progress,
            validation=self.validation,
            vgg=options.vgg,
            ranks=ranks,
        )
        skipped = self.pairs.skipped if isinstance(self.pairs, Clips) else {}
        lines = [f"left out, as they cannot be read: {len(skipped)}"] * bool(skipped)
        lines += [f"  {Path(name).name}: {reason}" for name, reason in list(skipped.items())[:10]]
        return "\n".join([*lines, f"{path}: use it as --model {path}"])


def open_data(data: str, recipe: Recipe) -> tuple[PairSource, PairSource | None]:
    """Pairs to train on, and pairs to measure on where some are kept apart."""
    size, wanted = size_of(recipe), recipe.data
    if data == PUPPETS:
        if recipe.seed >= UNSEEN:
            raise InputError(
                f"Puppets of seeds from {UNSEEN} on are kept for evaluation, and the seed is"
                f" {recipe.seed}; give a smaller one."
            )
        options: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in wanted.puppets.items()
        }
        return Puppets(size, recipe.seed, **options), Puppets(size, UNSEEN, **options)
    augment = Augment(wanted.flip, wanted.reverse, wanted.colour)
    clips = Clips(
        data,
        "train",
        size=size,
        seed=recipe.seed,
        augment=augment,
        id_sampling=wanted.id_sampling,
        repeats=wanted.repeats,
        hold_out=wanted.hold_out,
    )
    return clips, clips.held_out() if wanted.hold_out else None
