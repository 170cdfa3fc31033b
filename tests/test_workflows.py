"""The workflows people open are those the tests run, tidy, and made of core nodes and ours only."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
NOTES = {"MarkdownNote"}
CONTRACT = json.loads((ROOT / "tests" / "golden" / "nodes.json").read_text(encoding="utf-8"))
CORE = {
    "BasicScheduler",
    "CFGGuider",
    "CLIPLoader",
    "CLIPTextEncode",
    "CLIPVisionEncode",
    "CLIPVisionLoader",
    "CheckpointLoaderSimple",
    "DifferentialDiffusion",
    "KSampler",
    "KSamplerSelect",
    "ModelSamplingSD3",
    "SamplerCustomAdvanced",
    "SetLatentNoiseMask",
    "UNETLoader",
    "VAEDecode",
    "VAEEncode",
    "VAELoader",
    "WanTrackToVideo",
    "CreateVideo",
    "EmptyImage",
    "EmptyLatentImage",
    "GetVideoComponents",
    "ImageCompositeMasked",
    "ImageFromBatch",
    "ImageInvert",
    "ImageScale",
    "ImageStitch",
    "MaskPreview",
    "PreviewAny",
    "PreviewImage",
    "SaveLatent",
    "SaveVideo",
}


def shown(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def test_templates_are_numbered_from_the_simplest_on():
    assert len(NAMES) >= 12
    assert [name[:3] for name in NAMES] == [f"{i:02} " for i in range(1, len(NAMES) + 1)]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_users_folder_is_needed(name):
    assert not {node["type"] for node in shown(name)["nodes"]} & {"LoadImage", "LoadVideo"}


@pytest.mark.parametrize("name", NAMES)
def test_every_wire_ends_where_its_socket_says(name):
    workflow = shown(name)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for link, source, slot, target, socket, kind in workflow["links"]:
        assert link in nodes[source]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][socket]["link"] == link
        taken = nodes[target]["inputs"][socket]["type"].split(",")
        assert kind in taken or "*" in (kind, *taken)


@pytest.mark.parametrize("name", NAMES)
def test_saved_values_still_stand_at_their_inputs(name):
    """Workflows keep a node's values by their order: new inputs stand behind those they have."""
    for node in shown(name)["nodes"]:
        if node["type"] in CONTRACT:
            kept = [entry["name"] for entry in node["inputs"] if "widget" in entry]
            now = [entry[0] for entry in CONTRACT[node["type"]]["inputs"]]
            sockets = {entry["name"] for entry in node["inputs"]} - set(kept)
            assert [entry for entry in now if entry not in sockets][: len(kept)] == kept


@pytest.mark.parametrize("name", NAMES)
def test_only_core_nodes_and_ours(name):
    assert all(
        node["type"] in CORE | NOTES or node["type"].startswith("CM_")
        for node in shown(name)["nodes"]
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_note_and_groups_say_what_is_what(name):
    workflow = shown(name)
    (note,) = [node for node in workflow["nodes"] if node["type"] in NOTES]
    assert note["widgets_values"][0].startswith(f"# {name[3:]}")
    assert [group["title"][:2] for group in workflow["groups"]] == [
        f"{i} " for i in range(1, len(workflow["groups"]) + 1)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_node_lies_on_another(name):
    boxes = [
        (*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1])
        for node in shown(name)["nodes"]
    ]
    for (left, top, right, bottom), (x0, y0, x1, y1) in combinations(boxes, 2):
        title = 30
        assert right <= x0 or x1 <= left or bottom + title <= y0 or y1 + title <= top


@pytest.mark.parametrize("name", NAMES)
def test_files_that_a_template_needs_are_offered_and_named(name):
    """The page offers what is missing by its address; the note says it in words."""
    workflow = shown(name)
    (note,) = [node for node in workflow["nodes"] if node["type"] in NOTES]
    for node in workflow["nodes"]:
        wanted = [v for v in node.get("widgets_values") or [] if str(v).endswith(".safetensors")]
        offered = node["properties"].get("models", [])
        assert [file["name"] for file in offered] == wanted
        for file in offered:
            assert file["url"].startswith("https://") and file["name"] in file["url"]
            assert f"`{file['name']}`" in note["widgets_values"][0]
            assert f"models/{file['directory']}" in note["widgets_values"][0]
