"""A template's card: what comes out when it runs, as a small animated picture.

The page asks for <name>.jpg and shows whatever picture that is, so an animated WebP moves there.
"""

from __future__ import annotations

import io
import json
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import av
from PIL import Image

HEIGHT, MOST, RATE = 256, 40, 12.5  # pixels, frames, frames a second
NOTES = {"MarkdownNote"}
SEEDS = {"seed", "noise_seed"}


def draw_card(host: str, path: Path, shorter: dict[str, Any] | None = None) -> None:
    """Run the template on the host, and draw its card beside it."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    prompt = without_models(prompt_of(workflow), workflow)
    for node in prompt.values():
        node["inputs"] |= {k: v for k, v in (shorter or {}).items() if k in node["inputs"]}
    frames = _frames(host, _run(host, prompt))
    step = max(1, len(frames) // MOST)
    first, *rest = [_small(frame) for frame in frames[::step]][:MOST]
    first.save(
        path.with_suffix(".jpg"),
        "WEBP",
        save_all=True,
        append_images=rest,
        duration=round(1000 / RATE),
        loop=0,
        quality=70,
    )


def without_models(prompt: dict[str, Any], workflow: dict[str, Any]) -> dict[str, Any]:
    """What runs of it without the files that its nodes name, which need not be there."""
    gone = {str(node["id"]) for node in workflow["nodes"] if node["properties"].get("models")}
    while True:
        more = {
            number
            for number, node in prompt.items()
            if any(isinstance(v, list) and v[0] in gone for v in node["inputs"].values())
        }
        if more <= gone:
            return {number: node for number, node in prompt.items() if number not in gone}
        gone |= more


def prompt_of(workflow: dict[str, Any]) -> dict[str, Any]:
    """The page's format as the prompt it sends: widgets by name, links as [node, slot]."""
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        values, inputs = iter(node.get("widgets_values") or []), {}
        for name in (socket["name"] for socket in node["inputs"] if "widget" in socket):
            inputs[name] = next(values)
            if name in SEEDS:
                next(values)  # what becomes of it after a run: the page's own
        inputs |= {s["name"]: links[s["link"]] for s in node["inputs"] if s["link"] is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def _run(host: str, prompt: dict[str, Any]) -> dict[str, Any]:
    """What the nodes showed."""
    data = json.dumps({"prompt": prompt}).encode()
    request = urllib.request.Request(urllib.parse.urljoin(host, "/prompt"), data)
    number = json.load(urllib.request.urlopen(request))["prompt_id"]
    while True:
        history = json.load(urllib.request.urlopen(f"{host}/history/{number}"))
        if number in history:
            break
        time.sleep(0.5)
    ended = history[number]
    if ended["status"]["status_str"] != "success":
        raise SystemExit(json.dumps(ended["status"]["messages"][-1])[:2000])
    return ended["outputs"]


def _frames(host: str, outputs: dict[str, Any]) -> list[Image.Image]:
    """Of the last thing shown that plays, or else of the last picture."""
    shown = [file for out in outputs.values() for file in out.get("images", [])]
    films = [file for out in outputs.values() for file in out.get("motion_film", [])]
    saved = [file for file in shown if file["filename"].endswith(".mp4")]
    file = (saved or films or shown)[-1]
    query = urllib.parse.urlencode({k: file[k] for k in ("filename", "subfolder", "type")})
    content = io.BytesIO(urllib.request.urlopen(f"{host}/view?{query}").read())
    if not file["filename"].endswith(".mp4"):
        return [Image.open(content).convert("RGB")]
    with av.open(content) as film:
        return [frame.to_image() for frame in film.decode(video=0)]


def _small(picture: Image.Image) -> Image.Image:
    width = round(picture.width * HEIGHT / picture.height)
    return picture.convert("RGB").resize((width, HEIGHT), Image.Resampling.LANCZOS)
