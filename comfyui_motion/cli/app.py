"""comfyui-motion: the library on a command line.

Errors are one sentence on standard error and exit code 2; Ctrl-C is 130. A target is whole or not
there.
"""

from __future__ import annotations

import argparse
import ast
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, MotionError

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DTYPES = ("float32", "bfloat16", "float16")
SPEEDS = ("exact", *DTYPES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(format="comfyui-motion: %(message)s")  # what the library warns of
    try:
        options.run(options)
    except MotionError as error:
        print(f"comfyui-motion: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("comfyui-motion: stopped; nothing half-written is left.", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """Every command and option."""
    root = argparse.ArgumentParser(
        prog="comfyui-motion", description="A still picture moves as a driving clip moves."
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    _animate_options(commands.add_parser("animate", help="move a picture as a clip moves"))
    _swap_options(
        commands.add_parser(
            "swap", help="parts of one picture in place of another's, or of a clip's"
        )
    )
    inspected = commands.add_parser("inspect", help="what a checkpoint is, without building it")
    inspected.add_argument("file", nargs="+")
    inspected.add_argument("--json", action="store_true", help="one JSON object a file")
    inspected.set_defaults(run=inspect)
    converted = commands.add_parser(
        "convert", help="a checkpoint to safetensors: smaller, safe, quick to open"
    )
    converted.add_argument("source")
    converted.add_argument("target", help="a name ending in .safetensors")
    converted.add_argument("--dtype", choices=DTYPES, help="store the weights so (as they are)")
    _assumption_options(converted)
    converted.set_defaults(run=convert)
    listed = commands.add_parser(
        "models", help="the published checkpoints, which are installed, what suits what"
    )
    listed.add_argument("--json", action="store_true")
    listed.set_defaults(run=models)
    _evaluate_options(
        commands.add_parser(
            "evaluate",
            help=(
                "how well models do on clips they did not see: a table, JSON, a sheet of the worst"
                " frames"
            ),
        )
    )
    _puppets_options(
        commands.add_parser(
            "puppets",
            help=(
                "drawn clips that know their joints, their flow and what is hidden: some to look at"
            ),
        )
    )
    _train_options(
        commands.add_parser(
            "train", help="a model from clips, or from drawn puppets that know the truth"
        )
    )
    _bench_options(
        commands.add_parser(
            "bench",
            help="how fast the networks run here, against the plain loop of the published programs",
        )
    )
    return root


def _evaluate_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="checkpoints or known names; flow is the default model",
    )
    command.add_argument(
        "--data",
        required=True,
        metavar="DIR|FILE|puppets",
        help="a folder of clips, one clip, or drawn clips that know the truth",
    )
    command.add_argument(
        "-o",
        "--out",
        default="evaluation",
        metavar="DIR",
        help="where table, JSON and sheet go (evaluation)",
    )
    command.add_argument(
        "--mode",
        choices=("reconstruction", "animation"),
        default="reconstruction",
        help="a clip out of its first frame, or another's",
    )
    command.add_argument(
        "--pairs",
        metavar="PAIRS.csv",
        help="for animation: columns source and driving, names of clips (at random)",
    )
    command.add_argument(
        "--size", type=int, metavar="N", help="side of the squares compared (the models' own; 256)"
    )
    command.add_argument("--limit", type=int, metavar="N", help="clips, or pairs, at most")
    command.add_argument(
        "--frames", type=int, metavar="N", help="of each clip at most (all; puppets 16)"
    )
    command.add_argument("--clips", type=int, default=20, metavar="N", help="how many puppets (20)")
    command.add_argument(
        "--kinds",
        type=_words,
        default=("face", "figure", "animal", "shape"),
        metavar="face,...",
        help="of puppets (all)",
    )
    command.add_argument(
        "--detector",
        metavar="MODULE:FUNCTION",
        help="N 3 H W in 0..1 to points N K 2 in pixels, NaN if not found (the model's own)",
    )
    command.add_argument(
        "--embedder", metavar="MODULE:FUNCTION", help="N 3 H W in 0..1 to N D, for identity (none)"
    )
    command.add_argument("--batch", type=int, metavar="N", help="frames at a time (by the device)")
    command.add_argument("--device", help="cpu, cuda, mps ... (a GPU where there is one)")
    command.add_argument(
        "--speed",
        choices=SPEEDS,
        default="exact",
        help="as in animate, but exact unless asked otherwise",
    )
    _assumption_options(command)
    command.set_defaults(run=evaluate, dtype=None)


def _puppets_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o",
        "--out",
        default="puppets",
        metavar="DIR",
        help="where the clips and the sheet go (puppets)",
    )
    command.add_argument(
        "--kinds",
        type=_words,
        default=(),
        metavar="face,...",
        help="of face, figure, animal, shape (all)",
    )
    command.add_argument("--clips", type=int, default=8, metavar="N", help="how many (8)")
    command.add_argument("--frames", type=int, default=32, metavar="N", help="of each (32)")
    command.add_argument(
        "--size", type=int, default=256, metavar="N", help="side of the frames (256)"
    )
    command.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of the first; the next clip's is one more (0)",
    )
    command.set_defaults(run=puppets)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _train_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "recipe",
        metavar="RECIPE.toml|PRESET",
        help="what to train and how; fomm, mraa, tpsmm, copart, monkeynet and others are presets",
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
    command.add_argument("--batch", type=int, metavar="N", help="pairs at a time (the recipe's)")
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
        "--threads", type=int, metavar="N", help="of the processor, for the network (all)"
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
    command.set_defaults(run=train)


def _bench_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "family", nargs="*", help="fomm mraa tpsmm copart monkeynet x2face (fomm mraa tpsmm)"
    )
    command.add_argument(
        "-o",
        "--output",
        default="benchmarks/results",
        metavar="DIR",
        help="where the table and the plot go (benchmarks/results)",
    )
    command.add_argument(
        "--speed",
        nargs="+",
        choices=DTYPES,
        default=["float32", "bfloat16"],
        help="the modes to measure (float32 bfloat16)",
    )
    command.add_argument(
        "--runs",
        type=int,
        default=5,
        metavar="N",
        help="alternating runs, of which medians are taken (5)",
    )
    command.add_argument("--batch", type=int, metavar="N", help="frames at a time (by the device)")
    command.add_argument("--device", help="cpu, cuda ... (a GPU where there is one)")
    command.set_defaults(run=bench)


def _animate_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", help="a picture")
    command.add_argument(
        "driving", help="a clip: a film, a GIF, a folder of frames, frames/%%04d.png"
    )
    _output_options(command)
    command.add_argument(
        "--mode",
        choices=("relative", "absolute", "avd"),
        default="relative",
        help="how the performance is carried over (relative)",
    )
    command.add_argument(
        "--adapt-scale",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fit relative motion to the source's size (on)",
    )
    command.add_argument(
        "--strength", type=float, default=1.0, help="1 moves as far as the driver does (1)"
    )
    command.add_argument(
        "--reference",
        type=_reference,
        default=0,
        metavar="N|best",
        help="the frame relative motion is measured from (0)",
    )
    command.add_argument(
        "--subject",
        type=_box,
        metavar="L,T,R,B",
        help="where in the picture what moves is, in pixels (all of it)",
    )
    command.add_argument(
        "--driving-subject",
        type=_box,
        metavar="L,T,R,B",
        help="where the same thing is in the clip (all of it)",
    )
    command.add_argument(
        "--finder",
        metavar="MODEL",
        help="find those boxes, and the best reference frame, by this model's keypoints: puppets",
    )
    _model_options(command)
    command.add_argument(
        "--occlusion",
        metavar="OUT",
        help="also write what the source does not show, white, as a clip or a PNG sequence",
    )
    command.add_argument(
        "--preview",
        metavar="SHEET.png",
        help="also write a contact sheet: driver, result, field, occlusion",
    )
    command.set_defaults(run=animate)


def _swap_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", help="a picture: where the parts come from")
    command.add_argument("driving", metavar="target", help="a picture or a clip: where they go")
    _output_options(command)
    command.add_argument(
        "--parts", default="", metavar="1,3-5", help="numbers of the parts; 0 is the background"
    )
    command.add_argument(
        "--mask",
        default="target",
        metavar="target|source|FILE",
        help="whose parts make the mask, or a mask from any segmenter (target)",
    )
    command.add_argument(
        "--mask-of",
        choices=("target", "source"),
        default="target",
        help="whose pixels a mask from a file marks (target)",
    )
    command.add_argument(
        "--hard", action="store_true", help="masks of 0 and 1 instead of soft edges"
    )
    command.add_argument(
        "--strength", type=float, default=1.0, help="0 leaves the target, 1 swaps wholly (1)"
    )
    _model_options(command)
    command.set_defaults(run=swap)


def _output_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help=".mp4 .mov .mkv .webm .gif .webp, frames/%%05d.png or a folder/",
    )
    command.add_argument(
        "--codec",
        choices=("h264", "prores", "prores-422", "vp9", "png"),
        help="rather than what the extension says",
    )
    command.add_argument(
        "--crf", type=int, default=17, help="quality of H.264 and VP9, lower is better (17)"
    )
    command.add_argument(
        "--bits", type=int, choices=(8, 16), default=8, help="of PNG sequences (8)"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="let a sequence into a folder that holds files"
    )
    command.add_argument("--no-audio", action="store_true", help="leave the driver's sound out")
    command.add_argument(
        "--fps",
        type=float,
        help="frame rate of the result, and of drivers that have none (the driver's, or 25)",
    )
    command.add_argument("--start", type=int, default=0, help="first driving frame (0)")
    command.add_argument("--stop", type=int, help="driving frame to end before (the clip's end)")


def _model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", help="a checkpoint or a known name (the default, which needs no weights)"
    )
    command.add_argument(
        "--size",
        choices=("source", "model"),
        default="source",
        help="the picture's own pixels, or the network's (source)",
    )
    command.add_argument(
        "--fit",
        choices=("stretch", "letterbox", "crop"),
        default="stretch",
        help="how pictures come to the network's square (stretch)",
    )
    command.add_argument("--batch", type=int, metavar="N", help="frames at a time (by the device)")
    command.add_argument("--device", help="cpu, cuda, mps ... (a GPU where there is one)")
    command.add_argument(
        "--speed",
        choices=SPEEDS,
        default="float32",
        help="exact as published, the same to 1e-3, or rounded and faster (float32)",
    )
    command.add_argument(
        "--dtype",
        choices=DTYPES,
        help="cast the exact network so rather than optimise it; keypoints and fields stay float32",
    )
    _assumption_options(command)


def _assumption_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="what no tensor tells, such as head_padding=3; see inspect",
    )


def _reference(text: str) -> int:
    if text == "best":
        return -1
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"a frame number or best, not {text!r}")
    return int(text)


def _box(text: str) -> tuple[float, ...]:
    try:
        left, top, right, bottom = (float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"left,top,right,bottom in pixels, not {text!r}") from None
    return left, top, right, bottom


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"NAME=VALUE, not {text!r}")
    try:
        return name, ast.literal_eval(
            value.capitalize() if value.lower() in ("true", "false") else value
        )
    except (ValueError, SyntaxError):
        return name, value


@dataclass(frozen=True)
class Ahead:
    """A clip decoded on a thread of its own while the model works, as often as it is read."""

    clip: Any
    batch: int

    def __iter__(self) -> Iterator[Any]:
        from ..media.video import prefetch

        return prefetch(self.clip.batches(self.batch))

    @property
    def len_hint(self) -> int | None:
        return self.clip.len_hint


def load_model(options: argparse.Namespace) -> Any:
    """The model the options name, on their device and in their dtype."""
    import torch

    from ..registry import load

    try:
        device = None if options.device is None else torch.device(options.device)
        dtype = getattr(torch, options.dtype) if options.dtype else None
        return load(
            options.model,
            device=device,
            dtype=dtype,
            speed="exact" if dtype else options.speed,
            **dict(options.set),
        )
    except (RuntimeError, AssertionError) as error:
        if isinstance(error, MotionError):
            raise
        raise InputError(
            f"The device {options.device!r} cannot be used here ({str(error).splitlines()[0]}); try"
            " --device cpu."
        ) from error


def _writers(options: argparse.Namespace, clip: Any, stack: ExitStack) -> Callable[..., Any]:
    from ..media.video import VideoWriter

    def open_writer(path: str, sound: bool) -> Any:
        for taken in (options.source, options.driving):
            if Path(path).resolve() == Path(taken).resolve():
                raise InputError(
                    f"The target {path} is also what is to be read; name another target."
                )
        return stack.enter_context(
            VideoWriter(
                path,
                options.fps or clip.fps,
                audio_from=clip if sound and clip.has_audio and not options.no_audio else None,
                codec=options.codec,
                crf=options.crf,
                bits=options.bits if _is_sequence(path, options.codec) else 8,
                overwrite=options.overwrite,
            )
        )

    return open_writer


def _is_sequence(path: str, codec: str | None) -> bool:
    return codec == "png" or "%" in path or path.endswith("/") or Path(path).is_dir()


def animate(options: argparse.Namespace) -> None:
    """The main job."""
    from ..animate import frames_at_once, perform
    from ..media.files import check_target
    from ..media.picture import read_picture, write_picture
    from ..media.video import read_video

    if options.preview:
        check_target(Path(options.preview))
    source = read_picture(options.source)
    clip = read_video(options.driving, options.start, options.stop, fps=options.fps or 25)
    model = load_model(options)
    finder = (
        load_model(
            argparse.Namespace(
                **{**vars(options), "model": options.finder, "dtype": None, "set": []}
            )
        )
        if options.finder
        else None
    )
    batch = options.batch or frames_at_once(model)
    samples = Preview() if options.preview else None
    with ExitStack() as stack, Bar("animating") as bar:
        open_writer = _writers(options, clip, stack)
        writer = open_writer(options.output, sound=True)
        masks = open_writer(options.occlusion, sound=False) if options.occlusion else None
        for step in perform(
            model,
            source,
            Ahead(clip, batch),
            options.mode,
            options.size,
            batch,
            bar,
            adapt_scale=options.adapt_scale,
            strength=options.strength,
            reference=options.reference,
            fit=options.fit,
            subject=options.subject,
            driving_subject=options.driving_subject,
            finder=finder,
        ):
            writer.write(step.frames)
            if masks:
                masks.write(step.occlusion.expand(-1, 3, -1, -1))
            if samples:
                samples.add(step)
    print(
        f"{options.output}: {writer.count} frames of"
        f" {step.frames.shape[-1]}x{step.frames.shape[-2]} at {float(options.fps or clip.fps):g} a"
        " second"
    )
    if samples:
        write_picture(samples.sheet(), options.preview)
        print(f"{options.preview}: driver, result, field, occlusion")


def swap(options: argparse.Namespace) -> None:
    """Parts of the source in place of the target's, at the target's own size or the network's."""
    from ..animate import fitted, frames_at_once
    from ..media.picture import read_picture, write_picture
    from ..media.video import read_video
    from ..parts import part_numbers, swap_parts

    source = read_picture(options.source)
    clip = read_video(options.driving, options.start, options.stop, fps=options.fps or 25)
    mask = (
        options.mask
        if options.mask in ("target", "source")
        else read_picture(options.mask).mean(dim=1, keepdim=True)
    )
    parts = part_numbers(options.parts)
    model = load_model(options)
    batch = options.batch or frames_at_once(model)
    portrait = model.encode(fitted(model, source, options.fit).to(model.device))

    def swapped(frames: Any) -> Any:
        pictures = swap_parts(
            model,
            portrait,
            fitted(model, frames, options.fit),
            parts,
            mask,
            options.hard,
            options.strength,
            options.mask_of,
        )
        return (
            pictures
            if options.size == "model"
            else back_to_size(model, pictures, frames, options.fit)
        )

    if Path(options.output).suffix.lower() in PICTURES and "%" not in options.output:
        write_picture(swapped(next(iter(clip.batches(1)))), options.output)
        print(options.output)
        return
    with ExitStack() as stack, Bar("swapping") as bar:
        writer = _writers(options, clip, stack)(options.output, sound=True)
        for frames in Ahead(clip, batch):
            writer.write(swapped(frames))
            bar(writer.count, clip.len_hint)
    print(f"{options.output}: {writer.count} frames")


def back_to_size(model: Any, pictures: Any, frames: Any, fit: str) -> Any:
    """Pictures of the model's size at that of the frames they were made from; what the model was
    not shown stays as it was.
    """
    from ..framing.canvas import Fit

    height, width = frames.shape[-2:]
    plan = Fit.plan(height, width, model.size, fit)
    whole = plan.from_canvas(pictures)
    return whole if plan.whole else frames.to(whole.device).lerp(whole, plan.within_box(whole))


class Preview:
    """The contact sheet of an animation."""

    def __init__(self) -> None:
        from ..draw import Samples

        self.samples = Samples()

    def add(self, step: Any) -> None:
        from ..draw import draw_field

        height, width = step.frames.shape[-2:]
        small = (192, max(1, round(192 * width / height)))
        self.samples.add(
            step.driving,
            step.frames,
            draw_field(step.field, *small, reach=0.15),
            step.occlusion.expand(-1, 3, -1, -1),
        )

    def sheet(self) -> Any:
        return self.samples.sheet()


class Bar:
    """A progress bar on standard error, with the time left."""

    def __init__(self, title: str, unit: str = "frame") -> None:
        self.title, self.unit = title, unit
        self.bar: Any = None

    def __enter__(self) -> Bar:
        from tqdm import tqdm

        self.bar = tqdm(desc=self.title, unit=self.unit, disable=None, leave=False)
        return self

    def __call__(self, done: int, total: int | None) -> None:
        self.bar.total = max(done, total) if total else None
        self.bar.update(done - self.bar.n)

    def told(self, progress: Any) -> None:
        """What training says after a step."""
        self(progress.step, progress.steps)
        self.bar.set_postfix(
            {"stage": progress.stage, "loss": f"{progress.losses['total']:.4g}"}, refresh=False
        )

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def inspect(options: argparse.Namespace) -> None:
    """What each file is."""
    from .. import registry

    for file in options.file:
        found = registry.inspect(registry.resolve(file))
        print(json.dumps(asdict(found), default=str) if options.json else found)


def convert(options: argparse.Namespace) -> None:
    """A checkpoint to safetensors."""
    import torch

    from .. import registry

    before = registry.resolve(options.source)
    found = registry.convert(
        before,
        options.target,
        getattr(torch, options.dtype) if options.dtype else None,
        **dict(options.set),
    )
    print(found)
    print(f"  {before.stat().st_size / 1e6:.1f} MB before, {found.bytes / 1e6:.1f} MB now")


def models(options: argparse.Namespace) -> None:
    """The catalogue."""
    from .. import catalogue

    found = catalogue.installed()
    if options.json:
        print(
            json.dumps(
                [
                    {**asdict(entry), "installed": str(found[entry]) if entry in found else None}
                    for entry in catalogue.entries()
                ],
                default=str,
            )
        )
        return
    print("flow: needs no weights, moves anything; the default")
    for name in catalogue.bundled():
        print(f"{name}: comes with the pack, see models/{name}.md")
    print()
    for entry in catalogue.entries():
        where = (
            f"installed: {found[entry]}"
            if entry in found
            else f"not installed; {entry.files[0]}, see models/{entry.card}"
        )
        print(
            f"{entry.name} ({entry.size or '?'} px): {entry.suits}\n    {where}\n    licence:"
            f" {entry.licence or 'not known'}. {entry.permits}"
        )
    print(
        "\nLooked in: "
        + (
            ", ".join(str(path) for path in catalogue.search_paths())
            or "no folder; set COMFYUI_MOTION_MODELS"
        )
    )
    print("Nothing is downloaded unless you do it.")


def evaluate(options: argparse.Namespace) -> None:
    """Models on clips they did not see."""
    from .evaluate import Evaluation, load_all

    models = load_all(
        options.models,
        lambda path: load_model(argparse.Namespace(**{**vars(options), "model": path})),
    )
    evaluation = Evaluation.plan(models, options)
    for name in models:
        with Bar(f"evaluating {name}") as bar:
            said = evaluation.score(name, bar)
        print(f"{said}\n")
    print(evaluation.summary())


def puppets(options: argparse.Namespace) -> None:
    """Some puppets to look at."""
    from .puppets import draw_clips, kinds_of

    with Bar("drawing") as bar:
        written = draw_clips(
            kinds_of(options.kinds),
            options.seed,
            options.clips,
            options.frames,
            options.size,
            Path(options.out),
            bar,
        )
    print(
        f"{written[0]}: every clip with its joints and its flow; beside it {len(written) - 1} films"
    )


def train(options: argparse.Namespace) -> None:
    """A recipe to its end, or on from where it was stopped."""
    import torch

    from .train import Training

    if options.threads:
        torch.set_num_threads(options.threads)
    training = Training.plan(options)
    print(training.about(), flush=True)
    with Bar("training", "step") as bar:
        said = training.run(bar.told)
    print(said)


def bench(options: argparse.Namespace) -> None:
    """Measures, and writes NAME.md, NAME.json and NAME.png, NAME being the device's."""
    import torch

    from ..bench import measure as bench
    from ..registry import best_device

    device = torch.device(options.device) if options.device else best_device()
    title = bench.machine(device)
    found = []
    for family in [bench.known(name) for name in options.family or ("fomm", "mraa", "tpsmm")]:
        for measured in bench.measure(family, options.speed, device, options.runs, options.batch):
            print(
                f"{measured.family} {measured.path}: {measured.rate:.2f} frames/s,"
                f" {measured.ratio:.2f} times the plain loop",
                flush=True,
            )
            found.append(measured)
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{device.type}.md").write_text(bench.table(found, title), encoding="utf-8")
    document = {"machine": title, "runs": options.runs, "measured": [asdict(m) for m in found]}
    (folder / f"{device.type}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    bench.plot(found, title, str(folder / f"{device.type}.png"))
    print(f"{bench.table(found, title)}\nwritten to {folder}")
