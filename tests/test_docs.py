"""What the pages say of the code is made from the code."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs" / "make.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_room_is_in_the_picture_and_says_what_it_is_for(make):
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert make.room_table() in page, "python docs/make.py writes it anew"
    drawn = set(re.findall(r"<b>(.+?)</b>", page))
    assert drawn == set(make.rooms()), "python docs/make.py draws it anew"


def test_an_arrow_goes_from_a_room_to_those_it_imports(make):
    assert "    networks --> geometry" in make.diagram()
    assert "    geometry --> networks" not in make.diagram()


def test_a_page_s_part_is_written_between_its_marks_and_nowhere_else(make, tmp_path):
    page = shutil.copy(ROOT / "docs" / "architecture.md", tmp_path)
    before = Path(page).read_text(encoding="utf-8")
    assert make.put(Path(page), "rooms", "another table")
    after = Path(page).read_text(encoding="utf-8")
    assert "another table" in after and before.split("<!-- rooms -->")[0] in after
    assert (
        make.put(Path(page), "rooms", make.room_table())
        and Path(page).read_text(encoding="utf-8") == before
    )
