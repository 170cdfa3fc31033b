"""Completes the help pages: python web/make.py http://127.0.0.1:8188 (a running ComfyUI with this
pack).

What is written by hand in docs/CM_*.md stays; a table of all inputs and outputs follows it, from
what the nodes say of themselves, and the node's picture stands above, where docs/img has one.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent / "docs"
TABLES = "\n## Inputs\n"
ROW = "| {} | {} | {} |"


def main(host: str) -> None:
    with urllib.request.urlopen(urllib.parse.urljoin(host, "/object_info")) as answer:
        nodes = json.load(answer)
    for name, info in nodes.items():
        if name.startswith("CM_"):
            path = DOCS / f"{name}.md"
            path.write_text(page(path.read_text(encoding="utf-8"), name, info), encoding="utf-8")


def page(written: str, name: str, info: dict[str, Any]) -> str:
    """The hand's part with a picture and tables round it."""
    text = re.sub(r"!\[[^\n]*\]\(img/[^\n]*\)\n\n?", "", written.partition(TABLES)[0]).strip()
    if not text.startswith("# "):
        text = f"# {info['display_name']}\n\n{text}"
    if (DOCS / "img" / f"{name}.jpg").exists():
        head, _, rest = text.partition("\n")
        text = f"{head}\n\n![{info['display_name']}](img/{name}.jpg)\n\n{rest.strip()}"
    return text + "\n" + TABLES + "\n" + tables(info)


def tables(info: dict[str, Any]) -> str:
    inputs = [
        ROW.format(f"**{name}**", kind_of(spec), spec[1].get("tooltip", ""))
        for kind in ("required", "optional")
        for name, spec in info["input"].get(kind, {}).items()
    ]
    outputs = [
        ROW.format(f"**{name}**", kind, told or "")
        for name, kind, told in zip(
            info["output_name"], info["output"], info["output_tooltips"], strict=True
        )
    ]
    return "\n".join(
        ["| input | kind | |", "|---|---|---|", *inputs, "", "## Outputs", ""]
        + ["| output | kind | |", "|---|---|---|", *outputs, ""]
    )


def kind_of(spec: Any) -> str:
    kind, options = spec[0], spec[1]
    if kind == "COMBO":
        return "choice" if "default" not in options else f"choice ({options['default']})"
    return kind if options.get("default") in (None, "") else f"{kind} ({options['default']})"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
