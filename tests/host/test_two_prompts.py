"""Two people at one server: their workflows share a model, one of them cancels, and each gets what
the library alone makes. Needs $COMFYUI_PATH.
"""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import comfyui_motion as motion
from comfyui_motion.dials import Dials
from comfyui_motion.poses import Poses

ROOT = Path(__file__).parents[2]
FRAMES, LONG = 6, 40
FACE = {"class_type": "CM_LoadModel", "inputs": {"model_name": "face (comes with the pack)"}}
pytestmark = pytest.mark.host


class Client:
    """One of those who use the server."""

    def __init__(self, address: str, folder: Path, name: str) -> None:
        self.address, self.folder, self.name = address, folder, name

    def ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            said = answer.read()
        return said if said[:2] == b"\xff\xd8" else json.loads(said or b"null")

    def queue(self, prompt: dict[str, Any]) -> str:
        return self.ask("prompt", {"prompt": prompt, "client_id": self.name})["prompt_id"]

    def running(self) -> list[str]:
        return [entry[1] for entry in self.ask("queue")["queue_running"]]

    def done(self, number: str, wait: float = 300) -> dict[str, Any]:
        """What became of a prompt, once it is over."""
        end = time.monotonic() + wait
        while time.monotonic() < end:
            if told := self.ask(f"history/{number}").get(number):
                return told
            time.sleep(0.1)
        raise TimeoutError(number)

    def frames(self, told: dict[str, Any]) -> Tensor:
        """The pictures that a prompt saved. B 3 H W"""
        assert told["status"]["status_str"] == "success", told["status"]
        files = told["outputs"]["save"]["images"]
        return torch.cat(
            [motion.read_picture(self.folder / "output" / f["filename"]) for f in files]
        )


def animated(picture: str, strength: float, frames: int, name: str) -> dict[str, Any]:
    inputs = {"model": ["model", 0], "source_image": ["source", 0], "driving_images": ["some", 0]}
    told = {"mode": "relative", "adapt_scale": True, "reference_frame": -1, "size": "source"}
    return {
        "model": FACE,
        "source": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "film": {"class_type": "LoadVideo", "inputs": {"file": "driving.mp4"}},
        "clip": {"class_type": "GetVideoComponents", "inputs": {"video": ["film", 0]}},
        "some": {
            "class_type": "ImageFromBatch",
            "inputs": {"image": ["clip", 0], "batch_index": 0, "length": frames},
        },
        "moved": {"class_type": "CM_Animate", "inputs": inputs | told | {"strength": strength}},
        "save": saved("moved", name),
    }


def posed(picture: str, poses: str, name: str) -> dict[str, Any]:
    inputs = {"model": ["model", 0], "source_image": ["source", 0], "poses": poses, "frames": 0}
    return {
        "model": FACE,
        "source": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "moved": {"class_type": "CM_PoseFace", "inputs": inputs},
        "save": saved("moved", name),
    }


def saved(node: str, name: str) -> dict[str, Any]:
    return {"class_type": "SaveImage", "inputs": {"images": [node, 0], "filename_prefix": name}}


def by_the_library(picture: Path, strength: float, frames: int) -> Tensor:
    clip = motion.read_video(ROOT / "samples" / "driving.mp4", stop=frames).frames()
    moved = motion.animate(
        motion.load("face"),
        motion.read_picture(picture),
        clip,
        size="source",
        reference=-1,
        strength=strength,
    )
    return torch.cat(list(moved))


def test_two_prompts_at_once_each_get_their_own(server, server_folder):
    folder = server_folder
    shutil.copy(ROOT / "samples" / "source.png", folder / "input" / "one.png")
    shutil.copy(ROOT / "samples" / "driving.mp4", folder / "input" / "driving.mp4")
    one_picture = motion.read_picture(folder / "input" / "one.png")
    motion.write_picture(one_picture.flip(3), folder / "input" / "two.png")
    one, two = (Client(server, folder, name) for name in ("one", "two"))

    smiling = Poses({0: Dials(smile=0.6)}).to_json()
    told = two.done(two.queue(posed("two.png", smiling, "b")))
    assert len(two.frames(told)) == 1
    asked = {"token": told["outputs"]["moved"]["motion_pose"][0]["token"], "dials": {"yaw": 9}}
    alone = two.ask("comfyui_motion/pose", asked)

    cancelled = two.queue(animated("two.png", 0.7, LONG, "c"))
    kept = one.queue(animated("one.png", 1.0, FRAMES, "a"))
    while cancelled not in two.running():
        time.sleep(0.02)
    with ThreadPoolExecutor(4) as pool:  # dials are dragged meanwhile
        dragged = list(pool.map(lambda _: two.ask("comfyui_motion/pose", asked), range(8)))
    assert cancelled in two.running(), "it was over before it could be cancelled"
    two.ask("interrupt", {"prompt_id": cancelled})
    assert two.done(cancelled)["status"]["status_str"] == "error"
    assert not list((folder / "output").glob("c_*"))
    made = one.frames(one.done(kept))
    again = two.frames(two.done(two.queue(animated("two.png", 0.7, FRAMES, "d"))))

    assert all(picture == alone for picture in dragged)
    for found, picture, strength in ((made, "one.png", 1.0), (again, "two.png", 0.7)):
        wanted = by_the_library(folder / "input" / picture, strength, FRAMES)
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() <= 2.5 / 255
    assert (made - again).abs().mean() > 0.01  # they are two
