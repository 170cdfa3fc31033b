"""The workflows people open are those the tests run, tidy, and made of core nodes and ours only."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
NUMBERED = [name for name in FILES if name[0].isdigit()]  # laid out by workflows/make.py
NAMES = [name for name in FILES if name not in NUMBERED]
NOTES = {"MarkdownNote"}
CORE = {
    "LoadImage",
    "LoadVideo",
    "GetVideoComponents",
    "CreateVideo",
    "SaveVideo",
    "ImageStitch",
    "MaskPreview",
    "PreviewImage",
}


def shown(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def prompt_of(workflow: dict[str, Any]) -> dict[str, Any]:
    """The page's format as the prompt it sends: widgets by name, links as [node, slot]."""
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        widgets = [socket["name"] for socket in node["inputs"] if "widget" in socket]
        inputs = dict(zip(widgets, node.get("widgets_values") or [], strict=False))
        inputs |= {
            socket["name"]: links[socket["link"]]
            for socket in node["inputs"]
            if socket["link"] is not None
        }
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def test_there_is_a_workflow_for_each_that_is_tested():
    assert sorted(path.stem for path in (ROOT / "tests" / "workflows").glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_is_opened_is_what_is_tested(name):
    tested = json.loads((ROOT / "tests" / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    opened = prompt_of(shown(name))
    assert {number: node["class_type"] for number, node in opened.items()} == {
        number: node["class_type"] for number, node in tested.items()
    }
    for number, node in tested.items():
        assert {key: opened[number]["inputs"].get(key) for key in node["inputs"]} == node["inputs"]


@pytest.mark.parametrize("name", FILES)
def test_only_core_nodes_and_ours(name):
    assert all(
        node["type"] in CORE | NOTES or node["type"].startswith("CM_")
        for node in shown(name)["nodes"]
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_note_tells_what_to_put_where(name):
    (note,) = [node for node in shown(name)["nodes"] if node["type"] in NOTES]
    assert "Load Image" in note["widgets_values"][0] and "Load Video" in note["widgets_values"][0]


@pytest.mark.parametrize("name", FILES)
def test_no_node_lies_on_another(name):
    boxes = [
        (*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1])
        for node in shown(name)["nodes"]
    ]
    for (left, top, right, bottom), (x0, y0, x1, y1) in combinations(boxes, 2):
        title = 30
        assert right <= x0 or x1 <= left or bottom + title <= y0 or y1 + title <= top
