"""Every template runs as opened, with nothing in the user's folders."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
SHORT = {"frame_count": 2, "frames": 2, "length": 2, "frame": 1}  # of what has a length
pytestmark = pytest.mark.host


def prompt_of(name: str) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("cards", FOLDER / "cards.py")
    assert spec and spec.loader
    cards = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cards)
    return cards.prompt_of(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", NAMES)
def test_a_template_runs_as_opened(host, name):
    prompt = prompt_of(name)
    for node in prompt.values():
        node["inputs"] |= {k: v for k, v in SHORT.items() if k in node["inputs"]}
    done = host.run(prompt)
    assert done.success, done.error
