"""The walls of the house: who may import whom, what the wheel holds, what no room does."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "comfyui_motion"
HOST = (
    "comfy",
    "comfy_api",
    "comfy_extras",
    "comfy_execution",
    "folder_paths",
    "nodes",
    "execution",
    "server",
    "latent_preview",
)
DOOR = ROOT / "__init__.py"


def python_files(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def calls(path: Path) -> set[str]:
    """Functions called, by their last name."""
    called = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    return {f.id for f in called if isinstance(f, ast.Name)} | {
        f"{f.attr}" for f in called if isinstance(f, ast.Attribute) and f.attr == "import_module"
    }


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path, body: ast.AST | None = None) -> set[str]:
    """What a file imports: its own modules by their place below the root
    ("comfyui_motion.field.resize"), others by their name.
    """
    found = set()
    for node in ast.walk(body or tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            room = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*room, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}".lstrip(".") for alias in node.names}
    return found


def absolute_imports(path: Path) -> set[str]:
    nodes = list(ast.walk(tree(path)))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return found | {
        node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level
    }


def within(names: set[str], *rooms: str) -> set[str]:
    return {
        name for name in names if any(name == room or name.startswith(f"{room}.") for room in rooms)
    }


def of_the_host(names: set[str]) -> set[str]:
    return within(names, *HOST)


def families() -> dict[str, Path]:
    """The files of networks/ that define a FAMILY; the others are what families share."""
    files = {path.stem: path for path in (LIBRARY / "networks").glob("*.py")}
    return {
        name: path
        for name, path in files.items()
        if any("FAMILY" in assigned(node) for node in tree(path).body)
    }


def assigned(node: ast.stmt) -> list[str]:
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    return [target.id for target in targets if isinstance(target, ast.Name)]


def test_the_library_knows_no_host():
    for path in python_files("comfyui_motion"):
        assert not of_the_host(absolute_imports(path)), path
        assert not within(imports(path), "nodes"), path


def test_the_library_imports_what_it_declares():
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    distribution = {"PIL": "pillow", "cv2": "opencv-python-headless", "typing_extensions": "torch"}
    for path in python_files("comfyui_motion"):
        used = {name.split(".")[0] for name in absolute_imports(path)} - sys.stdlib_module_names
        assert [
            name for name in used if f'"{distribution.get(name, name)}>=' not in declared
        ] == [], path


def test_nodes_touch_the_host_through_host_py_alone():
    for path in python_files("nodes"):
        assert path.name == "host.py" or not of_the_host(absolute_imports(path)), path


def test_nodes_use_the_library_and_no_family():
    for path in python_files("nodes"):
        assert not within(imports(path), "comfyui_motion.networks", "comfyui_motion.cli"), path


def test_the_door_imports_nothing_until_it_is_knocked_on():
    if DOOR.exists():
        for node in tree(DOOR).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert imports(DOOR, node) <= {
                    "__future__.annotations",
                    "typing.TYPE_CHECKING",
                }, ast.unparse(node)


def test_families_never_import_one_another():
    for name, path in families().items():
        others = [f"comfyui_motion.networks.{other}" for other in families() if other != name]
        assert not within(imports(path), *others), path
        assert not within(
            imports(path),
            "comfyui_motion.registry",
            "comfyui_motion.animate",
            "comfyui_motion.checkpoint",
        ), path


def test_what_families_share_knows_none_of_them():
    for path in (LIBRARY / "networks").glob("*.py"):
        if path.stem not in families():
            assert not within(
                imports(path), *(f"comfyui_motion.networks.{name}" for name in families())
            ), path


def test_registry_alone_imports_families():
    rooms = [f"comfyui_motion.networks.{name}" for name in families()]
    for path in python_files("comfyui_motion"):
        if path.name != "registry.py":
            assert path.parent.name == "networks" or not within(imports(path), *rooms), path
            by_name = LIBRARY / "__init__.py", LIBRARY / "cli/__init__.py"  # names, commands
            assert "import_module" not in calls(path) or path in by_name, path


def test_registry_knows_every_family():
    registry = importlib.import_module("comfyui_motion.registry")
    assert set(families()) <= set(registry.FAMILIES)


def test_nothing_imports_the_command_line():
    for path in python_files("comfyui_motion", "nodes"):
        assert (
            not within(imports(path), "comfyui_motion.cli")
            or path.name == "__main__.py"
            or path.parent.name == "cli"
        ), path


def test_training_builds_on_the_public_names():
    public = {
        f"comfyui_motion.{name}" for name in importlib.import_module("comfyui_motion").__all__
    }
    for path in (LIBRARY / "training").glob("*.py"):
        private = (
            within(imports(path), "comfyui_motion")
            - within(imports(path), "comfyui_motion.training", "comfyui_motion.data")
            - within(imports(path), "comfyui_motion.doors", "comfyui_motion.errors")
            - within(imports(path), "comfyui_motion.geometry")
            - public
        )
        assert not private, (path, private)


def test_imports_inside_a_room_are_relative():
    for path in python_files("comfyui_motion", "nodes"):
        assert not within(absolute_imports(path), "comfyui_motion"), path


def test_only_the_command_line_prints_and_nothing_runs_text():
    for path in python_files("comfyui_motion", "nodes"):
        forbidden = {"eval", "exec"} | ({"print"} if path.parent.name != "cli" else set())
        assert not calls(path) & forbidden, path


def test_every_exported_name_exists():
    motion = importlib.import_module("comfyui_motion")
    assert [name for name in motion.__all__ if not hasattr(motion, name)] == []
    assert list(motion.__all__) == sorted(motion.__all__)


def test_the_wheel_holds_the_library_and_its_models_alone(monkeypatch):
    setuptools = pytest.importorskip("setuptools", minversion="77")
    monkeypatch.chdir(ROOT)
    distribution = setuptools.Distribution({"script_name": "setup.py"})
    distribution.parse_config_files(["pyproject.toml"])
    build = distribution.get_command_obj("build_py")
    build.build_lib = ""
    build.ensure_finalized()
    held = {Path(name).as_posix() for name in build.get_outputs(include_bytecode=False)}
    models = {
        path
        for path in (ROOT / "models").iterdir()
        if path.suffix in (".json", ".md", ".safetensors", ".LICENSE")
    }
    code = {path.relative_to(ROOT).as_posix() for path in python_files("comfyui_motion")}
    recipes = {
        path.relative_to(ROOT).as_posix()
        for path in (LIBRARY / "training" / "presets").glob("*.toml")
    }
    topology = {"comfyui_motion/networks/face/topology.json"}
    assert held == code | recipes | topology | {
        f"comfyui_motion/models/{path.name}" for path in models
    }, "list new packages in pyproject.toml"


def test_nothing_tracked_is_over_two_megabytes():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    weights = {
        path for path in files if path.parent.name == "models" and path.suffix == ".safetensors"
    }
    assert [
        path.name
        for path in files
        if path not in weights and path.is_file() and path.stat().st_size > 2_000_000
    ] == []
