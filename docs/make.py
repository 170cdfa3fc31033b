"""python docs/make.py: writes the parts of these pages that are made from the code.

The losses of docs/training.md, and the rooms of docs/architecture.md: which there are, what each is
for (the first sentence of its `__init__.py`), and which room imports which.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "comfyui_motion"
ROOT_ROOM = "values and verbs"  # the files of the package root


def put(page: Path, name: str, text: str) -> bool:
    """The text between a page's marks of that name. Whether it was another."""
    old = page.read_text(encoding="utf-8")
    mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.S)
    new = mark.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", old)
    page.write_text(new, encoding="utf-8")
    return new != old


def rooms() -> dict[str, Path]:
    """Every room of the library by name, the root first."""
    found = {path.parent.name: path.parent for path in sorted(LIBRARY.glob("*/__init__.py"))}
    return {ROOT_ROOM: LIBRARY, **found}


def purpose(room: Path) -> str:
    """The first sentence of a room's `__init__.py`."""
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=\.)\s|\n\n", said.replace("\n", " "))[0].strip()


def files(name: str, room: Path) -> list[Path]:
    if name == ROOT_ROOM:
        return [
            path for path in room.glob("*.py") if path.name not in ("__init__.py", "__main__.py")
        ]
    return list(room.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The rooms of the library that a file imports."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = parts[: len(parts) - node.level]
            full = (*above, *(node.module or "").split("."))
            names = [full] if node.module else [(*above, alias.name) for alias in node.names]
            found |= {next((part for part in name if part), "") for name in names}
    known = rooms()
    return {name if name in known else ROOT_ROOM for name in found}


def diagram() -> str:
    """Mermaid: the rooms, an arrow from each to those it imports."""
    known = rooms()
    key = {name: name.replace(" ", "_") for name in known}
    lines = ["```mermaid", "flowchart TD"]
    lines += [f'    {key[name]}["<b>{name}</b>"]' for name in known]
    for name, room in known.items():
        targets = sorted(set().union(*map(imported, files(name, room))) - {name})
        lines += [f"    {key[name]} --> {key[target]}" for target in targets]
    return "\n".join([*lines, "```"])


def room_table() -> str:
    lines = ["| room | what it is for |", "|---|---|"]
    for name, room in rooms().items():
        if name == ROOT_ROOM:
            lines.append(f"| the package root | {ROOT_ROOM[0].upper()}{ROOT_ROOM[1:]}. |")
        else:
            lines.append(f"| `{name}/` | {purpose(room)} |")
    return "\n".join(lines)


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from comfyui_motion.training.table import in_words

    docs = ROOT / "docs"
    for page, name, text in (
        ("training.md", "losses", in_words()),
        ("architecture.md", "rooms", room_table()),
        ("architecture.md", "imports", diagram()),
    ):
        put(docs / page, name, text)


if __name__ == "__main__":
    main()
