"""A real ComfyUI in this process, without a server, on the CPU: the checkout that $COMFYUI_PATH
names. Without it these tests are skipped.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import lzma
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
READY = 180  # seconds for a server to start
WORKFLOWS = Path(__file__).parents[1] / "workflows"
CORE = ("nodes_video.py", "nodes_mask.py", "nodes_images.py", "nodes_preview_any.py")


class Server:
    """What the executor needs of the host's server."""

    def __init__(self) -> None:
        self.client_id, self.last_node_id, self.last_prompt_id = "test", None, None
        self.sockets_metadata: dict[str, Any] = {}
        self.sent: list[tuple[str, Any]] = []
        self.heard: Callable[[str, Any], None] = lambda event, data: None

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        self.sent.append((event, data))
        self.heard(event, data)

    def send_progress_text(self, text: str, node_id: str, sid: str | None = None) -> None:
        self.send_sync("progress_text", {"text": text, "node": node_id})


@dataclass
class Outcome:
    """What became of a prompt: `values` by node and socket, `shown` by node."""

    success: bool
    messages: dict[str, Any]
    values: dict[str, list[Any]]
    shown: dict[str, Any]
    sent: list[tuple[str, Any]]

    @property
    def error(self) -> str:
        return self.messages.get("execution_error", {}).get("exception_message", "").strip()


class Host:
    def __init__(self, comfyui: Path, base: Path) -> None:
        for name in ("input", "output", "temp", "models/motion", "custom_nodes", "user"):
            (base / name).mkdir(parents=True)
        self.base = base
        sys.path.insert(0, str(comfyui))
        from comfy.cli_args import args

        args.cpu, args.base_directory = True, str(base)  # before anything asks where folders are
        # before nodes, beside which the host keeps another module named utils
        import_module("utils.install_util")
        nodes, server = import_module("nodes"), import_module("server")
        self.nodes = nodes
        self.server = server.PromptServer.instance = Server()
        self._follow_progress()
        asyncio.run(nodes.init_public_apis())
        self.extras = comfyui / "comfy_extras"
        assert all(map(self.load_core, CORE))
        execution = import_module("execution")
        self.executor = execution.PromptExecutor(self.server)
        self.validate = execution.validate_prompt

    def _follow_progress(self) -> None:
        """What the host's main program sets up: progress is told, and a cancelled prompt stops."""
        import comfy.utils
        from comfy.model_management import throw_exception_if_processing_interrupted

        def told(
            value: int,
            total: int,
            preview: Any,
            prompt_id: str | None = None,
            node_id: str | None = None,
        ) -> None:
            throw_exception_if_processing_interrupted()
            self.server.send_sync("progress", {"value": value, "max": total, "preview": preview})

        comfy.utils.set_progress_bar_global_hook(told)

    def load_core(self, name: str) -> bool:
        return asyncio.run(
            self.nodes.load_custom_node(str(self.extras / name), module_parent="comfy_extras")
        )

    def load(self, folder: Path) -> bool:
        return asyncio.run(self.nodes.load_custom_node(str(folder)))

    def info(self, node_id: str) -> dict[str, Any]:
        return self.nodes.NODE_CLASS_MAPPINGS[node_id].GET_NODE_INFO_V1()

    def run(self, prompt: dict[str, Any]) -> Outcome:
        valid, error, wanted, node_errors = asyncio.run(self.validate("test", prompt, None))
        if not valid or node_errors:
            raise ValueError(f"{error} {node_errors}")
        self.server.sent = []
        self.executor.execute(prompt, "test", {"client_id": "test"}, wanted)
        cached = {node: self.executor.caches.outputs.get(node) for node in prompt}
        values = {
            node: [socket[0] for socket in sockets]
            for node, sockets in cached.items()
            if sockets is not None
        }
        messages = dict(self.executor.status_messages)
        return Outcome(
            self.executor.success,
            messages,
            values,
            self.executor.history_result["outputs"],
            self.server.sent,
        )


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """A checkout of the host, which is no package: its place is told."""
    if not os.environ.get("COMFYUI_PATH"):
        pytest.skip("COMFYUI_PATH names no ComfyUI")
    return Path(os.environ["COMFYUI_PATH"])


@pytest.fixture(scope="session")
def host(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The host with the pack loaded, a picture, a clip and a checkpoint in its folders."""
    host = Host(comfyui, tmp_path_factory.mktemp("comfyui"))
    checkpoint = lzma.decompress(
        (ROOT / "tests" / "golden" / "fomm" / "checkpoint.pth.tar.xz").read_bytes()
    )
    (host.base / "models" / "motion" / "vox-cpk.pth.tar").write_bytes(checkpoint)
    (host.base / "models" / "motion" / "readme.md").write_text("not a model")
    elsewhere = host.base / "models" / "liveportrait"  # where other packs keep theirs
    elsewhere.mkdir()
    for packed in (ROOT / "tests" / "golden" / "liveportrait").glob("*.pth.xz"):
        (elsewhere / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
    write_media(host.base / "input")
    pack = host.base / "custom_nodes" / "comfyui_motion"
    pack.symlink_to(ROOT)
    assert host.load(pack)
    return host


def write_media(folder: Path, frames: int = 10) -> None:
    """source.png, 90x120, and driving.mp4, 96x64 with sound at 12.5 frames a second: a pattern that
    sways.
    """
    from comfy_api.latest import InputImpl, Types
    from PIL import Image

    Image.fromarray((pattern(120, 90) * 255).byte().numpy()).save(folder / "source.png")
    moving = torch.stack(
        [pattern(64, 96, 0.04 * torch.tensor(i * 0.7).sin().item()) for i in range(frames)]
    )
    audio = {"waveform": torch.linspace(-1, 1, 8000).sin()[None, None], "sample_rate": 8000}
    # pyright: ignore[reportArgumentType]
    clip = Types.VideoComponents(images=moving, audio=audio, frame_rate=Fraction(25, 2))
    InputImpl.VideoFromComponents(clip).save_to(str(folder / "driving.mp4"))


def pattern(height: int, width: int, shift: float = 0.0) -> Tensor:
    """Soft blobs, moved to the right by a share of the width. H W 3 in 0..1"""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    x = x - shift
    waves = [
        torch.sin(9 * x + 2 * c) * torch.cos(7 * y - c) + 0.5 * torch.sin(17 * x * y + 3 * c)
        for c in range(3)
    ]
    return torch.stack(waves, dim=-1) / 3 + 0.5


@pytest.fixture
def workflow() -> Callable[..., dict[str, Any]]:
    """workflow(name, node_id={"input": value}): a copy in the API format, with some inputs set by
    the node's kind.
    """

    def read(name: str, **changes: dict[str, Any]) -> dict[str, Any]:
        prompt = json.loads((WORKFLOWS / f"{name}.json").read_text())
        for node in prompt.values():
            node["inputs"] |= changes.get(node["class_type"], {})
        return prompt

    return read


def node_of(prompt: dict[str, Any], kind: str) -> str:
    """The number of the one node of that kind."""
    (found,) = [number for number, node in prompt.items() if node["class_type"] == kind]
    return found


@pytest.fixture
def of() -> SimpleNamespace:
    return SimpleNamespace(node=node_of)


@pytest.fixture(scope="session")
def template() -> Callable[[str], dict[str, Any]]:
    """template(name): what the page sends of a template of that name."""
    folder = ROOT / "workflows"
    spec = importlib.util.spec_from_file_location("cards", folder / "cards.py")
    assert spec and spec.loader
    cards = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cards)
    return lambda name: cards.prompt_of(
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    )


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server(comfyui: Path, server_folder: Path) -> Iterator[str]:
    """The address of a server with the pack, as a program of its own; its folders lie in
    `server_folder`.
    """
    base = server_folder
    for name in ("input", "output", "temp", "models/motion", "custom_nodes", "user"):
        (base / name).mkdir(parents=True)
    (base / "custom_nodes" / "comfyui_motion").symlink_to(ROOT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "main.py", "--cpu", "--port", str(port), "--base-directory"]
    command += [str(base), "--database-url", f"sqlite:///{base}/user/comfyui.db"]
    if os.environ.get("PAGE_ROOT"):
        command += ["--front-end-root", os.environ["PAGE_ROOT"]]
    with (base / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=comfyui, stdout=log, stderr=subprocess.STDOUT)
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(address, process, base / "log.txt")
            yield address
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + READY
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/object_info/CM_Animate").close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])
