"""What the page shows of a film on a node: its result, beside the clip, or under a slider."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

WEB = Path(__file__).parents[1] / "web"
FILM = {"panels": ["driver", "before", "after"], "widths": [100, 60, 60]}
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")


def asked(tmp_path: Path, expression: str) -> Any:
    (tmp_path / "panels.mjs").write_bytes((WEB / "panels.js").read_bytes())
    script = f'import {{ panel, views }} from "./panels.mjs";\nconst film = {json.dumps(FILM)};\n'
    (tmp_path / "run.mjs").write_text(script + f"console.log(JSON.stringify({expression}));\n")
    found = subprocess.run(["node", tmp_path / "run.mjs"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_a_film_offers_what_its_panels_hold(tmp_path):
    found = asked(tmp_path, '[views(film.panels), views(["after"]), views(["before", "after"])]')
    assert found == [["result", "beside", "slider"], ["result"], ["result", "slider"]]


def test_the_pieces_fill_the_picture(tmp_path):
    views = '["result", "beside", "slider"].map(view => panel(film, view, 0.25, 90))'
    result, beside, slider = asked(tmp_path, views)
    assert result == {"pieces": [{"from": 160, "to": 0, "size": 60}], "width": 60, "height": 90}
    assert [(p["from"], p["to"], p["size"]) for p in beside["pieces"]] == [
        (0, 0, 100),
        (160, 100, 60),
    ]
    assert beside["width"] == 160
    assert [(p["from"], p["to"], p["size"]) for p in slider["pieces"]] == [
        (100, 0, 15),
        (175, 15, 45),
    ]


@pytest.mark.parametrize(("split", "left"), [(0, 160), (1, 100)])
def test_a_slider_at_its_end_shows_one_of_both(tmp_path, split, left):
    (piece,) = asked(tmp_path, f'panel(film, "slider", {split}, 90).pieces')
    assert piece == {"from": left, "to": 0, "size": 60}
