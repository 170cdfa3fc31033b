"""How a template is laid out: nodes by name, in groups from left to right, as ComfyUI's page saves
them. `make.py` says what the templates are.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

WIDTH, GAP, TITLE = 280, 36, 36  # pixels, of a node, between nodes, of a title
NOTE_LINE, NOTE_LETTER = 23, 7.8  # pixels of a note's line and letter, as large as headings
WINDOW = 1480, 760  # pixels of a page that a template is opened in
LEGIBLE = 0.6  # the scale under which pages draw no words
ROW = {"socket": 21, "widget": 26}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
COLOURS = ["#3f789e", "#8a5", "#a1309b", "#b06634", "#88A"]
# what the page adds of itself behind a widget: its value is saved, never sent
BESIDE = {"image_upload": "image", "video_upload": "image", "control_after_generate": "fixed"}
SEEDS = {"seed", "noise_seed"}
WRITTEN = {"poses", "edits"}  # by an editor on the node, which folds the text away


@dataclass
class Node:
    """One node: `inputs` are values, or "@name.output" for a wire; `room` is height for what it
    shows; `files` are the models it loads, which the page offers to fetch where they are missing.
    """

    name: str
    kind: str
    inputs: dict[str, Any] = field(default_factory=dict)
    room: int = 0
    width: int = WIDTH
    files: list[dict[str, str]] = field(default_factory=list)  # name, url, directory


@dataclass
class Group:
    title: str
    nodes: list[Node]


@dataclass
class Template:
    """A file of workflows/: its name is the title of its card, `note` what stands
    beside the graph.
    """

    name: str
    note: str
    groups: list[Group]

    def workflow(self, known: dict[str, Any]) -> dict[str, Any]:
        """As the page saves it. `known` is what the host says of every node (/object_info)."""
        return _Builder(self, known).whole()


class _Builder:
    def __init__(self, template: Template, known: dict[str, Any]) -> None:
        self.template, self.known = template, known
        named = [node for group in template.groups for node in group.nodes]
        self.ids = {node.name: number for number, node in enumerate(named, 2)}
        self.kinds = {node.name: node.kind for node in named}
        self.links: list[list[Any]] = []

    def whole(self) -> dict[str, Any]:
        top, left, nodes, groups = 0, 0, [], []
        for group, colour in zip(self.template.groups, COLOURS * 9, strict=False):
            made, box = self.column(group, left, top)
            nodes += made
            groups.append(
                {
                    "id": len(groups) + 1,
                    "title": group.title,
                    "bounding": box,
                    "color": colour,
                    "font_size": 24,
                    "flags": {},
                }
            )
            left = box[0] + box[2] + GAP
        wires = {(link[1], link[2]): [] for link in self.links}
        for link in self.links:
            wires[link[1], link[2]].append(link[0])
        for node in nodes:
            for slot, output in enumerate(node["outputs"]):
                output["links"] = wires.get((node["id"], slot)) or None
        width, height = left - GAP, max(box["bounding"][3] for box in groups)
        note = self.note(width)
        height += note["size"][1] + TITLE + GAP
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, self.template.name)),
            "revision": 0,
            "last_node_id": max(self.ids.values()),
            "last_link_id": len(self.links),
            "nodes": [note, *nodes],
            "links": self.links,
            "groups": groups,
            "config": {},
            "extra": {
                "ds": {"scale": self.scale(width, height), "offset": [60, 80 - note["pos"][1]]}
            },
            "version": 0.4,
        }

    @staticmethod
    def scale(width: int, height: int) -> float:
        """At which all of it is seen, as far as its words can be read, and no larger than it is."""
        whole = min(1.0, WINDOW[0] / (width + 60), WINDOW[1] / (height + 80))
        return round(max(LEGIBLE, whole), 2)

    def note(self, width: int) -> dict[str, Any]:
        """Above the graph, as wide."""
        head = self.template.name.partition(" ")[2]
        rows = [row.lstrip("# ") for row in self.template.note.strip().split("\n\n")]
        text = "\n\n".join([f"# {head}", *(f"## {row}" for row in rows)])
        lines = 2 + sum(1 + int(len(row) * NOTE_LETTER / (width - 40)) for row in rows)
        height = NOTE_LINE * lines + 12 * len(rows) + 40
        return {
            "id": 1,
            "type": "MarkdownNote",
            "title": "Note",
            "pos": [0, -height - GAP],
            "size": [width, height],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": [],
            "outputs": [],
            "properties": {},
            "widgets_values": [text],
        }

    def column(self, group: Group, left: int, top: int) -> tuple[list[dict], list[int]]:
        made, down = [], top + TITLE + GAP
        width = max(node.width for node in group.nodes)
        for node in group.nodes:
            entry = self.node(node, left + GAP // 2, down)
            entry["order"] = self.ids[node.name] - 1
            made.append(entry)
            down += entry["size"][1] + TITLE + GAP // 2
        bottom = down - TITLE
        return made, [left, top, width + GAP, bottom - top + GAP // 4]

    def node(self, node: Node, left: int, top: int) -> dict[str, Any]:
        info = self.known[node.kind]
        sockets, values, rows = [], [], 0
        for name, spec in _inputs(info):
            kind, options = spec[0], (spec[1] if len(spec) > 1 else {})
            widget = _is_widget(kind, options)
            given = node.inputs.get(name, options.get("default", _first(kind, options)))
            link = self.link(given, node.name, len(sockets))
            socket = {
                "name": name,
                "type": "COMBO" if isinstance(kind, list) else kind,
                "link": link,
            }
            if name in info["input"].get("optional", {}) and not widget:
                socket["shape"] = 7
            if widget:
                socket["widget"] = {"name": name}
                values.append(
                    options.get("default", _first(kind, options)) if link is not None else given
                )
                values += [value for flag, value in BESIDE.items() if _beside(name, options, flag)]
                rows += 0 if options.get("advanced") or name in WRITTEN else 1
            sockets.append(socket)
        self.check(node, info)
        outputs = [
            {"name": name, "type": kind, "links": None}
            for name, kind in zip(info["output_name"], info["output"], strict=True)
        ]
        lines = max(sum("widget" not in socket for socket in sockets), len(outputs))
        height = 10 + ROW["socket"] * lines + ROW["widget"] * rows + node.room
        ours = node.kind.startswith("CM_")
        return {
            "id": self.ids[node.name],
            "type": node.kind,
            "pos": [left, top],
            "size": [node.width, height],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": sockets,
            "outputs": outputs,
            "properties": {
                "Node name for S&R": node.kind,
                "cnr_id": "comfyui_motion" if ours else "comfy-core",
                **({"models": node.files} if node.files else {}),
            },
            "widgets_values": values,
        }

    def link(self, given: Any, target: str, socket: int) -> int | None:
        if not isinstance(given, str) or not given.startswith("@"):
            return None
        name, _, output = given[1:].partition(".")
        info = self.known[self.kinds[name]]
        slot = info["output_name"].index(output) if output else 0
        number = len(self.links) + 1
        kind = info["output"][slot]
        self.links.append([number, self.ids[name], slot, self.ids[target], socket, kind])
        return number

    def check(self, node: Node, info: dict[str, Any]) -> None:
        unknown = set(node.inputs) - {name for name, _ in _inputs(info)}
        if unknown:
            raise SystemExit(f"{self.template.name}: {node.kind} has no input {sorted(unknown)}.")


def _inputs(info: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        (name, spec)
        for kind in ("required", "optional")
        for name, spec in info["input"].get(kind, {}).items()
    ]


def _is_widget(kind: Any, options: dict[str, Any]) -> bool:
    return isinstance(kind, list) or kind in WIDGETS and not options.get("forceInput")


def _first(kind: Any, options: dict[str, Any]) -> Any:
    choices = kind if isinstance(kind, list) else options.get("options")
    return choices[0] if choices else {"INT": 0, "FLOAT": 0.0, "STRING": ""}.get(str(kind))


def _beside(name: str, options: dict[str, Any], flag: str) -> bool:
    return bool(options.get(flag)) or flag == "control_after_generate" and name in SEEDS


def written(workflow: dict[str, Any]) -> str:
    return json.dumps(workflow, indent=1, ensure_ascii=False) + "\n"
