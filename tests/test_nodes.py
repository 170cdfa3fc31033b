"""What the nodes do with the host's values, without the host. The real one is met in tests/host."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.testing import assert_close

ROOT = Path(__file__).parents[1]
HOST = {
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfy_extras",
    "execution",
    "folder_paths",
    "nodes",
    "server",
}


@pytest.fixture(scope="module")
def pack() -> ModuleType:
    """The checkout as the host imports it: a package of some other name."""
    name = "a_pack_of_some_name"
    spec = importlib.util.spec_from_file_location(
        name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def convert(pack: ModuleType) -> ModuleType:
    return importlib.import_module(f"{pack.__name__}.nodes.convert")


@pytest.fixture(scope="module")
def masks(pack: ModuleType) -> ModuleType:
    return importlib.import_module(f"{pack.__name__}.nodes.masks")


def test_the_door_needs_no_host(pack):
    assert pack.WEB_DIRECTORY == "./web" and callable(pack.comfy_entrypoint)


@pytest.mark.parametrize("path", sorted((ROOT / "nodes").glob("*.py")), ids=lambda path: path.name)
def test_only_one_file_touches_the_host(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    imported |= {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.level
    }
    assert path.name == "host.py" or not imported & HOST


def test_a_broken_file_of_nodes_is_left_out_and_told(pack, monkeypatch, caplog):
    nodes = importlib.import_module(f"{pack.__name__}.nodes")
    monkeypatch.setattr(nodes, "STEPS", ("there_is_no_such_step",))
    with caplog.at_level(logging.ERROR, logger="comfyui_motion"):
        assert nodes.node_classes() == []
    assert "there_is_no_such_step" in caplog.text and "Traceback" in caplog.text


def test_a_node_the_host_does_not_take_is_left_out_and_told(pack, monkeypatch, caplog):
    nodes = importlib.import_module(f"{pack.__name__}.nodes")

    class Sound:
        GET_SCHEMA = staticmethod(lambda: None)

    class Broken:
        @staticmethod
        def GET_SCHEMA():
            raise TypeError("an input this host does not know")

    monkeypatch.setattr(nodes, "STEPS", ("some",))
    monkeypatch.setattr(nodes, "_nodes_of", lambda step: [Sound, Broken])
    with caplog.at_level(logging.ERROR, logger="comfyui_motion"):
        assert nodes.node_classes() == [Sound]
    assert "Broken" in caplog.text


def test_pictures_and_images_are_views_of_one_another(convert):
    images = torch.rand(2, 5, 7, 3)
    pictures = convert.to_pictures(images)
    assert pictures.shape == (2, 3, 5, 7) and pictures.data_ptr() == images.data_ptr()
    assert_close(convert.to_images(pictures), images)


def test_one_picture_and_one_mask_are_batches_of_one(convert):
    assert convert.to_pictures(torch.rand(5, 7, 4)).shape == (1, 4, 5, 7)
    assert convert.to_maps(torch.rand(5, 7)).shape == (1, 1, 5, 7)
    assert convert.to_mask(torch.rand(2, 1, 5, 7)).shape == (2, 5, 7)


@pytest.mark.parametrize("shape", [(0, 5, 7, 3), (1, 5, 7, 9), (5,)])
def test_what_is_no_image_is_refused_by_name(convert, pack, shape):
    errors = importlib.import_module(f"{pack.__name__}.comfyui_motion.errors")
    with pytest.raises(errors.InputError, match="source_image must be"):
        convert.to_pictures(torch.zeros(shape), "source_image")


@pytest.mark.parametrize(
    ("size", "even"), [((5, 7), (4, 6)), ((4, 7), (4, 6)), ((4, 6), (4, 6)), ((1, 1), (1, 1))]
)
def test_odd_pictures_lose_their_last_row_and_column(convert, size, even):
    picture = torch.rand(1, 3, *size)
    assert_close(convert.evened(picture), picture[..., : even[0], : even[1]])
    assert convert.evened(picture, wanted=False).shape[-2:] == size


def test_batches_are_gathered_in_order(convert):
    batches = torch.rand(5, 2, 3, 3).split(2)
    gathered = convert.Gathered(5, "cpu")
    for batch in batches:
        gathered.add(batch)
    assert_close(gathered.whole, torch.cat(batches))


def test_masks_are_left_alone_unless_asked(masks):
    soft = torch.rand(2, 1, 9, 8)
    assert_close(masks.shaped(soft), soft)


def test_masks_are_hardened_grown_and_shrunk(masks):
    spot = torch.zeros(1, 1, 9, 9)
    spot[..., 4, 4] = 0.7
    grown = masks.shaped(spot, threshold=0.5, grow=2)
    assert grown.sum() == 25 and grown[..., 2:7, 2:7].min() == 1
    assert_close(masks.shaped(grown, grow=-2), (spot > 0).float())


def test_a_feathered_edge_is_soft_and_what_is_full_stays_full(masks):
    half = torch.zeros(1, 1, 20, 40)
    half[..., 20:] = 1
    soft = masks.shaped(half, feather=6)
    assert_close(soft[..., :8], half[..., :8])
    assert_close(soft[..., 32:], half[..., 32:])
    assert (soft[..., 1:] >= soft[..., :-1] - 1e-6).all()
    assert 0.3 < soft[0, 0, 10, 19] < 0.5


def test_a_painted_mask_becomes_the_box_round_it(convert):
    mask = torch.zeros(1, 20, 40)
    mask[:, 5:10, 8:16] = 1
    assert convert.to_box(mask, torch.rand(3, 3, 40, 80)) == (16, 10, 32, 20)
    assert convert.to_box(torch.zeros(1, 64, 64), torch.rand(1, 3, 40, 80)) is None
    assert convert.to_box(None, torch.rand(1, 3, 40, 80)) is None


def test_gaps_in_time_are_closed_and_nothing_else(masks):
    shown = torch.tensor([1.0, 0, 1, 0, 0, 0, 1, 0]).view(-1, 1, 1, 1)
    assert masks.closed(shown, 1).flatten().tolist() == [1, 1, 1, 0, 0, 0, 1, 0]
    assert masks.closed(shown, 3).flatten().tolist()[:7] == [1] * 7
    assert torch.equal(shown.flatten(), torch.tensor([1.0, 0, 1, 0, 0, 0, 1, 0]))
