"""Draws the pictures of the help again: python web/pictures.py http://127.0.0.1:8188

The address is a running ComfyUI with this pack, whose page is driven in headless Chromium: needs
Node.js, Chromium, and $PLAYWRIGHT, a folder with playwright-core. Further arguments are nodes' ids:
those alone. What a node needs from files (Load Field ...) is saved by the scenes before it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image
from scenes import SCENES, Scene

WEB = Path(__file__).parent
DRIVE = WEB.parent / "tests" / "host" / "page" / "drive.mjs"
WIDEST, QUALITY = 640, 72  # pixels, of JPEG


def main(host: str, wanted: list[str]) -> None:
    chosen = [scene for scene in SCENES if not wanted or scene.kind in wanted]
    with tempfile.TemporaryDirectory() as folder:
        for read in (False, True):
            draw(host, [scene for scene in chosen if reads(scene) == read], Path(folder))
            for path in Path(folder).glob("CM_*.jpg"):
                keep(path)


def reads(scene: Scene) -> bool:
    """Whether it needs a file that another has saved."""
    return scene.kind in ("CM_LoadField", "CM_LoadKeypoints")


def draw(host: str, scenes: list[Scene], folder: Path) -> None:
    """One page for all of them; each leaves its picture in the folder."""
    if not scenes:
        return
    with urllib.request.urlopen(urllib.parse.urljoin(host, "/object_info")) as answer:
        known = json.load(answer)
    plan, empty = folder / "plan.json", folder / "empty.json"
    plan.write_text(json.dumps([{"scene": step(scene, known)} for scene in scenes]))
    empty.write_text(json.dumps({"nodes": [], "links": [], "groups": [], "version": 0.4}))
    run = ["node", DRIVE, host, empty, folder, plan]
    # the nodes alone, without their packs' badges
    settings = {"Comfy.NodeBadge.NodeSourceBadgeMode": "None"}
    environment = os.environ | {"PAGE_SETTINGS": json.dumps(settings)}
    done = subprocess.run(run, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    for scene, ran in zip(scenes, json.loads(done.stdout)["runs"], strict=True):
        if ran["status"] != "success":
            raise SystemExit(f"{scene.kind}: {ran}")


def step(scene: Scene, known: dict[str, Any]) -> dict[str, Any]:
    graph, show = scene.graph(known)
    return {"name": scene.kind, "graph": graph, "show": show}


def keep(path: Path) -> None:
    """Small, where the help looks for it."""
    picture = Image.open(path).convert("RGB")
    if picture.width > WIDEST:
        size = WIDEST, round(picture.height * WIDEST / picture.width)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    picture.save(WEB / "docs" / "img" / path.name, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2:])
