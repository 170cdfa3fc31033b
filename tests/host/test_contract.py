"""What other people's workflows hang on: node ids, sockets, their order and defaults.

The golden file changes only by additions: new nodes, new optional inputs behind the others, new
outputs behind the others. WRITE_CONTRACT=1 writes it again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "nodes.json"
CONTRACT: dict[str, Any] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
pytestmark = pytest.mark.host


def contract(info: dict[str, Any]) -> dict[str, Any]:
    """Of a node: inputs as [name, type, kind, default], a combo's choices where they are ours."""
    inputs = [
        [name, spec[0], kind, spec[1].get("default"), *choices(name, spec)]
        for kind in ("required", "optional")
        for name, spec in info["input"].get(kind, {}).items()
    ]
    outputs = [list(pair) for pair in zip(info["output_name"], info["output"], strict=True)]
    return {"inputs": inputs, "outputs": outputs}


def choices(name: str, spec: Any) -> list[Any]:
    files = name in ("model_name", "file", "picture", "clip")
    return [] if files or "options" not in spec[1] else [spec[1]["options"]]


def ours(host: Any) -> list[str]:
    return sorted(name for name in host.nodes.NODE_CLASS_MAPPINGS if name.startswith("CM_"))


def test_nodes_are_as_people_saved_them(host):
    found = {name: contract(host.info(name)) for name in ours(host)}
    if os.environ.get("WRITE_CONTRACT"):
        lines = [f" {json.dumps(name)}: {json.dumps(made)}" for name, made in found.items()]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        pytest.skip("written again")
    assert found.keys() == CONTRACT.keys()
    for name, kept in CONTRACT.items():
        assert found[name] == kept, name
