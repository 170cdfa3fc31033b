"""A recipe: what is trained, on what, in which stages, read from TOML. Every value has its place,
its type and a default; others are refused.

What stands at the top of the file beside `family` and belongs to a stage is every stage's default;
without `[[stages]]` there is one stage. Durations (`milestones`, `warmup`, `background_from`,
dropout's) count in the stage's own unit: `steps`, or `epochs` where those are given.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from .. import InputError, families, inspect
from ..doors.documents import read_text
from ..errors import boundary
from .table import LOSSES
from .warps import Warp

PRESETS = Path(__file__).parent / "presets"
PUBLISHED_SIZE = 256  # of every family
PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("steps", "cosine")


@dataclass(frozen=True)
class Data:
    """Where pairs come from, and what is done to them."""

    size: int = 0  # the side of the pictures; 0: the model's
    repeats: int = 1  # how often a video comes in an epoch
    id_sampling: bool = False
    hold_out: int = 0  # the last so many videos are never trained on, but measured and drawn
    flip: float = 0.5
    reverse: float = 0.5
    colour: float = 0.1
    workers: int = 1  # threads that prepare batches ahead; 0: none
    # options of Puppets, where that is what --data says
    puppets: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dropout:
    """TPSMM's dropout of contributions (section 3.2): the chance rises from `first` to `last` over
    `ramp`, and is none after `until`.
    """

    first: float = 0.1
    last: float = 0.3
    ramp: int = 10
    until: int = 35

    def at(self, time: float) -> float:
        if time >= self.until:
            return 0.0
        return self.first + (self.last - self.first) * min(time / max(self.ramp, 1), 1.0)


@dataclass(frozen=True)
class Stage:
    """One run of an optimiser."""

    losses: dict[str, float]
    name: str = "train"
    steps: int = 0
    epochs: int = 0  # instead of steps
    batch: int = 20
    accumulate: int = 1  # batches whose gradients make one step
    lr: float = 2e-4
    rates: dict[str, float] = field(default_factory=dict)  # module prefix → factor on lr
    # lr falls by `decay` at each milestone, or along half a cosine to `decay`
    schedule: str = "steps"
    milestones: tuple[int, ...] = ()
    decay: float = 0.1
    warmup: int = 0  # lr rises from nothing
    betas: tuple[float, ...] = (0.5, 0.999)
    weight_decay: float = 0.0
    clip: float = 0.0  # the largest norm of a gradient; 0: any
    clip_norm: float = 2.0  # which norm; inf is TOML for the largest entry
    precision: str = "float32"  # of convolutions
    # prefixes of modules; all others are frozen. None given: all but the avd network
    trains: tuple[str, ...] = ()
    teacher: bool = False  # the true joints in place of the detector's keypoints
    # and as uncertain as a detector's: how far off they are told, in half pictures
    teacher_error: float = 0.0
    background_from: int = 0  # when the background predictor begins to matter, where there is one
    dropout: Dropout | None = None
    pose_scale: float = 0.25  # avd: how much keypoints are stretched, on each side
    warp: Warp = field(default_factory=Warp)

    def __post_init__(self) -> None:
        unknown = [name for name in self.losses if name not in LOSSES]
        if unknown or not self.losses:
            raise InputError(
                f"losses of stage {self.name}: {unknown[0] if unknown else 'none'} given; there are"
                f" {', '.join(LOSSES)}."
            )
        if bool(self.steps) == bool(self.epochs) or min(self.steps, self.epochs) < 0:
            raise InputError(
                f"stage {self.name} needs either steps or epochs above 0; it has steps"
                f" {self.steps}, epochs {self.epochs}."
            )
        for name, least in {
            "batch": 1,
            "accumulate": 1,
            "lr": 0,
            "clip": 0,
            "weight_decay": 0,
        }.items():
            if getattr(self, name) < least:
                raise InputError(
                    f"{name} of stage {self.name} must be at least {least}, and is"
                    f" {getattr(self, name)}."
                )
        for name, allowed in {"precision": PRECISIONS, "schedule": SCHEDULES}.items():
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} of stage {self.name} is one of {', '.join(allowed)}, not"
                    f" {getattr(self, name)!r}."
                )
        if len(self.betas) != 2:
            raise InputError(
                f"betas of stage {self.name} are two numbers, and {len(self.betas)} were given."
            )

    def in_steps(self, epoch: int | None) -> Stage:
        """The same with durations in steps, given how many pairs an epoch has.

        Raises InputError where that is not known.
        """
        if not self.epochs:
            return self
        if epoch is None:
            raise InputError(
                f"stage {self.name} lasts {self.epochs} epochs, and these pairs have none; give it"
                " steps."
            )
        unit = max(1, -(-epoch // (self.batch * self.accumulate)))
        return self.stretched(unit, self.epochs * unit)

    def stretched(self, factor: float, steps: int) -> Stage:
        """So many steps, and every duration inside multiplied."""
        dropout = self.dropout and replace(
            self.dropout,
            ramp=round(self.dropout.ramp * factor),
            until=round(self.dropout.until * factor),
        )
        return replace(
            self,
            steps=steps,
            epochs=0,
            milestones=tuple(round(milestone * factor) for milestone in self.milestones),
            warmup=round(self.warmup * factor),
            background_from=round(self.background_from * factor),
            dropout=dropout,
        )


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on, but for its data and its machine."""

    family: str
    stages: tuple[Stage, ...]
    parameters: dict[str, Any] = field(default_factory=dict)  # of motion.build
    start_from: str = ""  # a checkpoint whose tensors are taken where they fit
    seed: int = 0
    ema: float = 0.999  # of the weights that are saved; 0: none
    # batches, at the end, on which the norms of the averaged model are measured anew: those it
    # learned with are not its own
    settle: int = 0
    data: Data = field(default_factory=Data)
    save_every: int = 500
    sheet_every: int = 500
    log_every: int = 10
    tensorboard: bool = False
    # batch norms' statistics are of all processes' pairs together, where several train one model
    share_norms: bool = False

    @property
    def steps(self) -> int:
        """Of all stages. Known once durations are in steps."""
        return sum(stage.steps for stage in self.stages)

    def in_steps(self, epoch: int | None) -> Recipe:
        return replace(self, stages=tuple(stage.in_steps(epoch) for stage in self.stages))

    def lasting(self, steps: int) -> Recipe:
        """The same in so many steps: stages and what happens in them shrink or grow alike.
        Durations must be in steps.
        """
        factor, total = steps / self.steps, self.steps
        bounds = [
            sum(stage.steps for stage in self.stages[: i + 1]) for i in range(len(self.stages))
        ]
        ends = [0, *(round(bound * steps / total) for bound in bounds)]
        lengths = [max(1, b - a) for a, b in zip(ends, ends[1:], strict=False)]
        return replace(
            self,
            stages=tuple(
                stage.stretched(factor, length)
                for stage, length in zip(self.stages, lengths, strict=True)
            ),
        )

    @property
    def supervised(self) -> list[str]:
        """What of it needs a truth."""
        names = [name for stage in self.stages for name in stage.losses if LOSSES[name].supervised]
        return names + ["teacher" for stage in self.stages if stage.teacher]


def size_of(recipe: Recipe) -> int:
    """The side of the pictures it trains on: as told, the model's own, that of the one it starts
    from, or what was published.
    """
    if not recipe.data.size and recipe.start_from and "size" not in recipe.parameters:
        before = inspect(recipe.start_from)
        return before.parameters.size if before.family == recipe.family else PUBLISHED_SIZE
    return recipe.data.size or recipe.parameters.get("size", PUBLISHED_SIZE)


def read_recipe(name: str | Path, **changes: Any) -> Recipe:
    """From a TOML file, or a preset by name.

    `changes` replace what the file says at its top. Raises InputError.
    """
    path = recipe_path(name)
    text = read_text(path, InputError, "it is not TOML as recipes are")
    with boundary(InputError, f"{path} is not TOML: {{reason}}."):
        content = _toml().loads(text)
    return recipe_of({**content, **changes})


def recipe_path(name: str | Path) -> Path:
    if Path(name).is_file():
        return Path(name)
    if (PRESETS / f"{name}.toml").is_file():
        return PRESETS / f"{name}.toml"
    raise InputError(
        f"There is no recipe {name}: neither a file, nor one of the presets {', '.join(presets())}."
    )


def presets() -> list[str]:
    """The names of those that come along, of families that are there."""
    paths = sorted(PRESETS.glob("*.toml"))
    return [
        path.stem
        for path in paths
        if _toml().loads(path.read_text(encoding="utf-8")).get("family") in families()
    ]


def recipe_of(content: Mapping[str, Any]) -> Recipe:
    """From nested dictionaries, as TOML and JSON have them.

    Raises InputError, which names the key that does not belong.
    """
    shared = {name: value for name, value in content.items() if name in _names(Stage)}
    own = {
        name: value for name, value in content.items() if name not in shared and name != "stages"
    }
    known = sorted(_names(Recipe) | _names(Stage))
    unknown = [name for name in own if name not in known]
    if unknown:
        raise InputError(f"A recipe has no {unknown[0]!r}; it has {', '.join(known)}.")
    given = content.get("stages", [{}])
    if (
        not isinstance(given, (list, tuple))
        or not given
        or not all(isinstance(stage, Mapping) for stage in given)
    ):
        raise InputError("stages are written as [[stages]] tables, at least one.")
    stages = tuple(
        _value(Stage, {**shared, **stage}, f"stage {i + 1}") for i, stage in enumerate(given)
    )
    return _value(Recipe, {**own, "stages": stages}, "the recipe")


def written(recipe: Recipe) -> dict[str, Any]:
    """As nested dictionaries, which `recipe_of` takes back."""
    content = asdict(recipe)
    for stage in content["stages"]:
        if stage["dropout"] is None:
            del stage["dropout"]
    return content


def _names(kind: Any) -> set[str]:
    return {f.name for f in fields(kind)}


def _value(kind: Any, value: Any, where: str) -> Any:
    """`value` as the type that a field is declared with. Raises InputError"""
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, Mapping):
        unknown = [name for name in value if name not in _names(kind)]
        if unknown:
            raise InputError(
                f"{where} has no {unknown[0]!r}; it has {', '.join(sorted(_names(kind)))}."
            )
        missing = [
            f.name
            for f in fields(kind)
            if f.name not in value and f.default is MISSING and f.default_factory is MISSING
        ]
        if missing:
            raise InputError(f"{where} lacks {missing[0]!r}.")
        hints = get_type_hints(kind)
        return kind(
            **{
                name: _value(hints[name], item, f"{name} of {where}")
                for name, item in value.items()
            }
        )
    origin, arguments = get_origin(kind), get_args(kind)
    if type(None) in arguments:
        return None if value is None else _value(arguments[0], value, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(arguments[0], item, where) for item in value)
    if origin is dict and isinstance(value, Mapping):
        return {
            name: _value(arguments[1], item, f"{name} of {where}") for name, item in value.items()
        }
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with boundary(InputError, f"{where} is no number of this machine's ({{reason}})."):
            return float(value)
    if kind is Any or (
        isinstance(kind, type)
        and isinstance(value, kind)
        and not (kind is int and isinstance(value, bool))
    ):
        return value
    expected = (
        "a table"
        if is_dataclass(kind) or origin is dict
        else "a list"
        if origin is tuple
        else kind.__name__
    )
    raise InputError(f"{where} is {expected}, and {value!r} was given.")


def _toml() -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib
