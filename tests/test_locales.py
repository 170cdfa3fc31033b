"""Every node and socket is said in every language, and nothing is said of what is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NODES = json.loads((ROOT / "tests" / "golden" / "nodes.json").read_text())


@pytest.mark.parametrize("language", ["en", "zh", "ja"])
def test_every_node_and_socket_is_said(language):
    path = ROOT / "locales" / language / "nodeDefs.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    assert said.keys() == NODES.keys()
    for name, kept in NODES.items():
        assert said[name]["display_name"] and said[name]["description"], name
        assert said[name]["inputs"].keys() == {entry[0] for entry in kept["inputs"]}, name
        assert len(said[name]["outputs"]) == len(kept["outputs"]), name
        sockets = [*said[name]["inputs"].values(), *said[name]["outputs"].values()]
        assert all(socket["name"] and socket["tooltip"] for socket in sockets), name


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_every_tooltip_is_said_in_the_language_itself(language):
    said = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    for name, node in said.items():
        for socket in [*node["inputs"].values(), *node["outputs"].values()]:
            assert any(ord(c) > 0x3000 for c in socket["tooltip"]), (name, socket["tooltip"])


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_what_a_node_does_is_said_in_the_language_itself(language):
    said = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    assert all(any(ord(c) > 0x3000 for c in node["description"]) for node in said.values())
