"""The page itself, in headless Chromium against a running server: a template opened, run, dragged,
reloaded. Needs $COMFYUI_PATH, Node.js, Chromium, and $PLAYWRIGHT, a folder with playwright-core.

Another page than the host's own lies in the folder $PAGE_ROOT; its settings are $PAGE_SETTINGS, as
in {"Comfy.VueNodes.Enabled": true}. Pictures of the page are left in $PAGE_PICTURES, or in the
test's own folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).parent / "page" / "drive.mjs"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(
        not (os.environ.get("PLAYWRIGHT") and CHROMIUM and shutil.which("node")),
        reason="PLAYWRIGHT names no playwright-core, or there is no Chromium",
    ),
]
Drive = Callable[..., dict[str, Any]]


@pytest.fixture
def drive(server: str, tmp_path: Path) -> Drive:
    def work(template: str, *steps: dict[str, Any]) -> dict[str, Any]:
        (path,) = (ROOT / "workflows").glob(f"{template}*.json")
        plan = tmp_path / "plan.json"
        plan.write_text(json.dumps(steps))
        pictures = Path(os.environ.get("PAGE_PICTURES", tmp_path / "pictures")) / template
        run = subprocess.run(
            ["node", PAGE, server, path, pictures, plan],
            capture_output=True,
            text=True,
            timeout=900,
            env={**os.environ, "CHROMIUM": str(CHROMIUM)},
        )
        assert run.returncode == 0, run.stderr
        seen = json.loads(run.stdout)
        assert not seen["errors"], seen["errors"]
        return seen

    return work


def node_of(step: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(node for node in step["nodes"] if node["type"] == kind)


def test_a_template_runs_as_opened_and_its_result_plays_on_the_node(drive: Drive):
    seen = drive(
        "01",
        {"set": {"CM_Animate.frame_count": 4}},
        {"run": True},
        {"picture": "after the run"},
        {"reload": True},
        {"picture": "after a reload"},
        {"run": True},
    )
    assert [run["status"] for run in seen["runs"]] == ["success"] * 2, seen["runs"]
    played = node_of(seen["steps"][1], "CM_Animate")["playing"]
    assert played["width"] > 0 and not played["paused"]
    assert "comes with the pack" in node_of(seen["steps"][1], "CM_LoadModel")["words"]
    for step in seen["steps"][4:]:  # as it was kept, and as a run shows it that makes nothing anew
        again = node_of(step, "CM_Animate")
        assert again["playing"]["width"] > 0 and again["widgets"]["frame_count"] == 4
        assert "comes with the pack" in node_of(step, "CM_LoadModel")["words"]


def test_a_dial_that_is_dragged_moves_the_picture_and_is_kept_after_a_reload(drive: Drive):
    seen = drive(
        "02",
        {"set": {"CM_PoseFace.frames": 2}},
        {"run": True},
        {"drag": "CM_PoseFace.smile"},
        {"picture": "dragged"},
        {"reload": True},
        {"picture": "after a reload"},
    )
    assert [run["status"] for run in seen["runs"]] == ["success"], seen["runs"]
    dragged, again = (node_of(seen["steps"][i], "CM_PoseFace") for i in (2, -1))
    assert dragged["followed"] and len(dragged["took"]) > 3
    assert json.loads(dragged["widgets"]["poses"])["keys"]["0"]["smile"] > 0.5
    assert again["widgets"]["poses"] == dragged["widgets"]["poses"] and again["followed"]


def test_a_point_that_is_dragged_becomes_a_key_and_is_used(drive: Drive):
    seen = drive(
        "08",
        {"set": {"CM_Animate.frame_count": 3}},
        {"run": True},
        {"point": True},
        {"picture": "dragged"},
        {"run": True},
    )
    assert [run["status"] for run in seen["runs"]] == ["success"] * 2, seen["runs"]
    edits = json.loads(node_of(seen["steps"][2], "CM_EditKeypoints")["widgets"]["edits"])
    (keys,) = edits["keys"].values()
    assert list(keys) == ["0"] and node_of(seen["steps"][1], "CM_EditKeypoints")["points"] == 3
