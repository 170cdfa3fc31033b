"""Makes nodeDefs.json in en, zh and ja: python locales/make.py http://127.0.0.1:8188

The address is a running ComfyUI with this pack, asked for its nodes. English is what they say of
themselves; names, what a node does and the names of sockets are translated in words.py, tooltips in
tooltips.json, each English sentence with its Chinese and Japanese. What is not translated is named.
"""

from __future__ import annotations

import json
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from words import JA, LABELS, ZH

FOLDER = Path(__file__).parent
TOOLTIPS = json.loads((FOLDER / "tooltips.json").read_text(encoding="utf-8"))


def main(host: str) -> None:
    with urllib.request.urlopen(urllib.parse.urljoin(host, "/object_info")) as answer:
        nodes = {name: info for name, info in json.load(answer).items() if name.startswith("CM_")}
    complete(nodes)
    for language, nodes_said, place in (("en", None, 0), ("zh", ZH, 0), ("ja", JA, 1)):
        made = {name: said(name, info, nodes_said, place) for name, info in nodes.items()}
        path = FOLDER / language / "nodeDefs.json"
        path.parent.mkdir(exist_ok=True)
        text = json.dumps(made, indent=1, ensure_ascii=False, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")


def complete(nodes: dict[str, Any]) -> None:
    """Nothing is left in English, and nothing is kept that no node says any more."""
    told = {tip for info in nodes.values() for tip in tooltips(info)}
    missing = [f"  {tip}" for tip in sorted(told - TOOLTIPS.keys())]
    if missing:
        raise SystemExit("\n".join(["Not in tooltips.json:", *missing]))
    kept = {tip: TOOLTIPS[tip] for tip in TOOLTIPS if tip in told}
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    (FOLDER / "tooltips.json").write_text(text + "\n", encoding="utf-8")


def tooltips(info: dict[str, Any]) -> list[str]:
    """What is said of a node's inputs, then of its outputs."""
    kinds = (info["input"].get(kind, {}) for kind in ("required", "optional"))
    inputs = [spec[1].get("tooltip", "") for kind in kinds for spec in kind.values()]
    return inputs + [tip or "" for tip in info["output_tooltips"]]


def said(name: str, info: dict[str, Any], words: Any, place: int) -> dict[str, Any]:
    """One node in one language; without words, in its own."""

    def label(socket: str) -> str:
        return LABELS[socket][place] if words else socket

    def tip(english: str) -> str:
        return TOOLTIPS[english][place] if words else english

    shown, does = words[name] if words else (info["display_name"], info["description"])
    inputs = {
        socket: {"name": label(socket), "tooltip": tip(spec[1].get("tooltip", ""))}
        for kind in ("required", "optional")
        for socket, spec in info["input"].get(kind, {}).items()
    }
    outputs = {
        str(i): {"name": label(socket), "tooltip": tip(info["output_tooltips"][i] or "")}
        for i, socket in enumerate(info["output_name"])
    }
    return {"display_name": shown, "description": does, "inputs": inputs, "outputs": outputs}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
