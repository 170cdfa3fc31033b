"""Draws the templates again: python workflows/make.py http://127.0.0.1:8188

The address is a running ComfyUI with this pack, asked what inputs its nodes have. `--pictures` runs
each template there too and makes its card's picture of what comes out: an animated WebP under the
name that the page asks for, <name>.jpg.
"""

from __future__ import annotations

import argparse
import json
import urllib.parse
import urllib.request
from pathlib import Path

from build import written
from templates import TEMPLATES

FOLDER = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host", help="address of a running ComfyUI with this pack")
    parser.add_argument("--pictures", action="store_true", help="run them, and draw their cards")
    parser.add_argument("--only", default="", help="those whose names hold this")
    asked = parser.parse_args()
    with urllib.request.urlopen(urllib.parse.urljoin(asked.host, "/object_info")) as answer:
        known = json.load(answer)
    chosen = [template for template in TEMPLATES if asked.only in template.name]
    for template in chosen:
        (FOLDER / f"{template.name}.json").write_text(
            written(template.workflow(known)), encoding="utf-8"
        )
    if not asked.only:
        _remove_others()
    if asked.pictures:
        from cards import draw_card

        for template in chosen:
            draw_card(asked.host, FOLDER / f"{template.name}.json")


def _remove_others() -> None:
    names = {template.name for template in TEMPLATES}
    for path in FOLDER.glob("[0-9]*"):
        if path.suffix in (".json", ".jpg") and path.stem not in names:
            path.unlink()


if __name__ == "__main__":
    main()
