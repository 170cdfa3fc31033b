"""Every template runs as opened, with nothing in the user's folders but the diffusion models that
some name.
"""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "workflows"
ALL = sorted(path.stem for path in FOLDER.glob("*.json"))
DIFFUSION = [name for name in ALL if name[:2] in ("18", "19", "20")]  # in test_diffusion.py
NAMES = [name for name in ALL if name not in DIFFUSION]
SHORT = {"frame_count": 2, "frames": 2, "length": 2, "frame": 1, "batch_size": 2}  # lengths
pytestmark = pytest.mark.host


@pytest.mark.parametrize("name", NAMES)
def test_a_template_runs_as_opened(host, name, template):
    prompt = template(name)
    for node in prompt.values():
        node["inputs"] |= {k: v for k, v in SHORT.items() if k in node["inputs"]}
    done = host.run(prompt)
    assert done.success, done.error
