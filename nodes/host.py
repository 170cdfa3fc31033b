"""ComfyUI: the only file that touches it. Schemas, models in its memory, batches with progress,
folders.

Facts of the host that the code leans on are told where they are used; the least version is 0.3.48.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import comfy.model_management as mm
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..comfyui_motion import InputError, MediaError, MotionError, MotionModel, fileset, registry
from ..comfyui_motion.doors.words import A_REPORT, logger, shown
from ..comfyui_motion.errors import boundary
from ..comfyui_motion.media.decode import open_container
from ..comfyui_motion.memory import bytes_needed, frames_at_once, in_parts
from .remember import Memory, Remembering

try:
    from comfy_api.v0_0_2 import ComfyExtension, InputImpl, Types, io
except ImportError:  # a host that has dropped that number
    from comfy_api.latest import ComfyExtension, InputImpl, Types, io

__all__ = ["ComfyExtension", "io"]

if TYPE_CHECKING:  # where there is no host to read, what comes from it may be anything

    def __getattr__(name: str) -> Any: ...


T = TypeVar("T")
FOLDER = "motion"
SMOOTH = 512 * 512  # pixels up to which a processor takes as many frames as it is fastest with
EXTENSIONS = {
    ".safetensors",
    ".pth",
    ".pt",
    ".ckpt",
    ".tar",
    ".bin",
}  # the host sees vox-cpk.pth.tar as .tar
log = logger()


# Schemas


def schema(**fields: Any) -> io.Schema:
    """A node's schema, less what this host's does not have (search_aliases, ...): an unknown name
    would take the whole pack down.
    """
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


def advanced(widget: Any) -> Any:
    """The input, folded away until advanced inputs are asked for."""
    if hasattr(widget, "advanced"):
        widget.advanced = True
    else:
        widget.extra_dict = {**(widget.extra_dict or {}), "advanced": True}
    return widget


def images_or_video(name: str, tooltip: str, optional: bool = False) -> Any:
    """A socket that takes IMAGE or VIDEO."""
    if not hasattr(io, "MultiType"):
        return io.Image.Input(name, tooltip=tooltip, optional=optional)
    types = [io.Image, io.Video]
    return io.MultiType.Input(name, types=types, tooltip=tooltip, optional=optional)


def tell(node_id: str | None, text: str) -> None:
    """Words shown on the node itself, where the page can. Older pages take them for markup. None:
    a node that did not ask for its number.
    """
    if node_id is None:
        return
    text = shown(text, A_REPORT, lines=True)
    with suppress(ImportError, AttributeError):
        from server import PromptServer

        PromptServer.instance.send_progress_text(text, node_id)


@contextmanager
def told(node_id: str | None) -> Iterator[list[str]]:
    """What the library warns of meanwhile, on the node too: at once, and gathered in the list that
    this gives, for what stays there after the run.
    """
    words: list[str] = []

    def hear(record: logging.LogRecord) -> None:
        if record.getMessage() not in words:
            words.append(record.getMessage())
        tell(node_id, record.getMessage())

    handler = logging.Handler(logging.WARNING)
    handler.emit = hear
    log.addHandler(handler)
    try:
        yield words
    finally:
        log.removeHandler(handler)


def blocked(reason: str) -> Any:
    """What goes out of a socket that gives nothing: who hangs on it says why."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(reason)


# Models


class Holder(nn.Module):
    """What the host moves from device to device.

    It sets `device` on it, which a MotionModel only tells.
    """

    def __init__(self, model: MotionModel) -> None:
        super().__init__()
        self.model = model
        self.device = None

    def get_dtype(self) -> torch.dtype:
        return self.model.dtype


@dataclasses.dataclass(frozen=True, eq=False)
class HostedModel:
    """A model in the host's care: what CM_MODEL carries. `model` may lie on any device; `ready`
    brings it.
    """

    model: MotionModel
    patcher: ModelPatcher
    remembering: Any

    @staticmethod
    def of(model: MotionModel) -> HostedModel:
        patcher = ModelPatcher(
            Holder(model),
            load_device=mm.get_torch_device(),
            offload_device=mm.unet_offload_device(),
        )
        return HostedModel(model, patcher, Remembering(model, Memory(), cancellable))

    def ready(self, frames: int = 1) -> MotionModel:
        """The model on the device it runs on, with room made for so many frames at once: what lies
        there may have to go.
        """
        room = bytes_needed(self.model, frames)
        mm.load_models_gpu([self.patcher], memory_required=room, force_full_load=True)
        # --novram loads part by part, which plain layers cannot run with
        self.model.to(self.patcher.load_device)
        return self.remembering

    def at_once(self, pictures: Tensor) -> int:
        """Frames to work on together at the size of these pictures, B C H W: on a processor few
        enough that a user who cancels need not wait.
        """
        most = frames_at_once(self.model)
        if self.patcher.load_device.type != "cpu":
            return most
        return max(1, min(most, most * SMOOTH // (pictures.shape[-2] * pictures.shape[-1])))


def result_device() -> torch.device:
    return mm.intermediate_device()


# Work


@contextmanager
def cancellable() -> Iterator[None]:
    """A user who cancels is heard before every layer that a network goes through meanwhile."""
    mm.throw_exception_if_processing_interrupted()
    here = threading.get_ident()

    def listen(*_: Any) -> None:
        if threading.get_ident() == here:
            mm.throw_exception_if_processing_interrupted()

    handle = nn.modules.module.register_module_forward_pre_hook(listen)
    try:
        yield
    finally:
        handle.remove()


class Progress:
    """The host's progress bar. Raises when the user has cancelled."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.bar = comfy.utils.ProgressBar(total)

    def __call__(self, done: int, picture: Tensor | None = None) -> None:
        """`picture`, C H W in 0..1, is shown while the work goes on."""
        mm.throw_exception_if_processing_interrupted()
        self.bar.update_absolute(
            done, self.total, None if picture is None else ("JPEG", _thumbnail(picture), 512)
        )


def _thumbnail(picture: Tensor) -> Any:
    from PIL import Image

    return Image.fromarray(
        (picture.float().clamp(0, 1) * 255).byte().permute(1, 2, 0).cpu().numpy()
    )


class Watched:
    """A clip's frames one by one, until the user cancels: for work that looks through all of them
    before its first result.
    """

    def __init__(self, frames: Tensor | Iterable[Tensor], total: int | None = None) -> None:
        self.frames, self.len_hint = frames, len(frames) if isinstance(frames, Tensor) else total

    def __iter__(self) -> Iterator[Tensor]:
        for batch in [self.frames] if isinstance(self.frames, Tensor) else self.frames:
            for frame in batch.split(1):
                mm.throw_exception_if_processing_interrupted()
                yield frame


def batches(
    work: Callable[[slice], T], total: int, size: int, show: Callable[[T], Tensor] | None = None
) -> Iterator[T]:
    """work(slice) for `total` frames, `size` at a time and fewer when memory runs out, in order.

    `show` picks a picture C H W to look at.
    """
    progress, done = Progress(total), 0

    def attempt(frames: range) -> tuple[int, T]:
        return len(frames), work(slice(frames.start, frames.stop))

    while done < total:
        progress(done)
        batch = range(done, min(done + size, total))
        for count, result in in_parts(attempt, batch, mm.get_torch_device()):
            size = size if count == len(batch) else max(1, min(size, count))
            done += count
            progress(done, None if show is None else show(result))
            yield result


# Pages


def temporary(name: str) -> tuple[str, dict[str, str]]:
    """Where to write a new file that the page may look at until the host is restarted, and what the
    page is told of it. `name` is its beginning and its ending, as in "film.mp4".
    """
    stem, suffix = os.path.splitext(name)
    folder = folder_paths.get_temp_directory()
    os.makedirs(folder, exist_ok=True)
    name = f"comfyui_motion_{stem}_{uuid.uuid4().hex[:12]}{suffix}"
    return os.path.join(folder, name), {"filename": name, "subfolder": "", "type": "temp"}


def still_of(picture: Tensor) -> dict[str, Any]:
    """A picture (1 3 H W) as the page shows it on a node."""
    from ..comfyui_motion import write_picture

    path, entry = temporary("still.png")
    write_picture(picture, path)
    return {"images": [entry]}


def add_route(method: str, path: str, answer: Callable[[Any], Any]) -> None:
    """What the page may ask of us, under /comfyui_motion/. `answer` takes the body's JSON (or the
    query, of a GET), runs on a thread of its own and gives bytes with their type, or what JSON can
    say. What it raises on purpose is a sentence for the page. Without a server nothing happens.
    """
    with suppress(ImportError, AttributeError):
        from aiohttp import web
        from server import PromptServer

        async def handle(request: Any) -> Any:
            try:
                asked = dict(request.query) if method == "GET" else await request.json()
                if not isinstance(asked, dict):
                    raise ValueError("no object")
            except (ValueError, RecursionError) as error:
                return web.json_response({"error": f"No JSON object: {error}."}, status=400)
            try:
                made = await asyncio.get_running_loop().run_in_executor(None, answer, asked)
            except MotionError as error:
                return web.json_response({"error": str(error)}, status=400)
            if isinstance(made, tuple):
                return web.Response(body=made[0], content_type=made[1])
            return web.json_response(made)

        getattr(PromptServer.instance.routes, method.lower())(f"/comfyui_motion/{path}")(handle)


# Films


def film_of(path: str) -> Any:
    """A VIDEO of a file."""
    return InputImpl.VideoFromFile(path)


def film_file(video: Any) -> tuple[str | None, float, float | None]:
    """Where a VIDEO lies on disk, and from when to when it is meant, in seconds (None: to its end).

    No path: its frames are in memory. A film in memory is written to a temporary file first.
    """
    if not isinstance(video, InputImpl.VideoFromFile):
        return None, 0.0, None
    kept = {name.rpartition("__")[2]: value for name, value in vars(video).items()}
    begin, length = kept.get("start_time") or 0.0, kept.get("duration") or 0.0
    source = kept.get("file")
    if not isinstance(source, (str, os.PathLike)):
        assert source is not None  # the host's class is never without its file
        path, _ = temporary("video.mp4")
        with open(path, "wb") as target:
            target.write(source.getbuffer())
        source = path
    return os.fspath(source), begin, begin + length if length else None


def sound_of(path: str, begin: Fraction, end: Fraction | None) -> dict[str, Any] | None:
    """A film's sound from one moment to another, in seconds, as an AUDIO; None where it
    has none.
    """
    import av

    with (
        open_container(Path(path), "no clip whose sound could be used") as container,
        boundary(MediaError, f"The sound of {path} is damaged ({{reason}})."),
    ):
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            return None
        resampler = av.AudioResampler(format="fltp", rate=stream.rate)
        frames = [made for frame in container.decode(stream) for made in resampler.resample(frame)]
        rate = stream.rate
    if not frames:
        return None
    waveform = torch.cat([torch.from_numpy(frame.to_ndarray()) for frame in frames], dim=1)
    stop = None if end is None else round(end * rate)
    return {"waveform": waveform[None, :, round(begin * rate) : stop], "sample_rate": rate}


def film_from(images: Tensor, fps: Fraction, audio: Any = None) -> Any:
    """A VIDEO of IMAGE frames, which are not copied."""
    return InputImpl.VideoFromComponents(
        Types.VideoComponents(images=images, frame_rate=fps, audio=audio)
    )


# Files


def add_model_folder() -> None:
    """models/motion, beside the folders the user's yaml may have named."""
    folder = os.path.join(folder_paths.models_dir, FOLDER)
    with suppress(OSError):
        os.makedirs(folder, exist_ok=True)
    folder_paths.add_model_folder_path(FOLDER, folder)
    for kind in registry.file_sets():  # where other packs keep such a set
        elsewhere = os.path.join(folder_paths.models_dir, kind.title.lower())
        if os.path.isdir(elsewhere):
            folder_paths.add_model_folder_path(FOLDER, elsewhere)
    folder_paths.folder_names_and_paths[FOLDER][1].update(
        EXTENSIONS
    )  # an empty set would list every file


def output_file(prefix: str, suffix: str) -> tuple[str, str]:
    """A new file in the output folder: its path, and its name there. A prefix cannot leave it."""
    root = folder_paths.get_output_directory()
    with boundary(InputError, f"Nothing is saved as {shown(prefix)} ({{reason}})."):
        folder, name, number, subfolder, _ = folder_paths.get_save_image_path(prefix, root)
    name = f"{name}_{number:05}_{suffix}"
    return os.path.join(folder, name), os.path.join(subfolder, name)


def kept_files(suffixes: tuple[str, ...]) -> list[str]:
    """What lies in the output and input folders, newest first, as "folder/name [output]"."""
    found = [
        (os.path.getmtime(path), f"{os.path.relpath(path, root).replace(os.sep, '/')} [{kind}]")
        for kind, root in _roots().items()
        for folder, _, names in os.walk(root)
        for path in (os.path.join(folder, name) for name in names)
        if path.endswith(suffixes)
    ]
    return [name for _, name in sorted(found, reverse=True)]


def kept_path(name: str, suffixes: tuple[str, ...]) -> str | None:
    """Where a listed file lies; None for what is not listed."""
    if name not in kept_files(suffixes):
        return None
    place, _, kind = name.rpartition(" ")
    return os.path.join(_roots()[kind.strip("[]")], place)


def state_of(path: str) -> tuple[float, int]:
    """What changes when a file does."""
    return os.path.getmtime(path), os.path.getsize(path)


def _roots() -> dict[str, str]:
    return {
        "output": folder_paths.get_output_directory(),
        "input": folder_paths.get_input_directory(),
    }


def model_files() -> list[str]:
    """As the list of models shows them: a set of several files once, by its folder."""
    return list(_listed())


def _listed() -> dict[str, str]:
    listed = {name: name for name in folder_paths.get_filename_list(FOLDER)}
    for kind in registry.file_sets():
        listed = fileset.listed(listed.values(), kind, kind.title)
    return listed


def model_path(name: str) -> str | None:
    """Where a listed file lies, None when there is none of that name."""
    return folder_paths.get_full_path(FOLDER, _listed().get(name, name))
