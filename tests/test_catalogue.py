from __future__ import annotations

import dataclasses
import hashlib
import json
import re

import pytest

import comfyui_motion as motion
from comfyui_motion import catalogue, registry
from comfyui_motion.errors import InputError, MotionError

ENTRIES = catalogue.entries()


@pytest.fixture
def models(tmp_path, monkeypatch):
    """An empty folder of models, the only one looked in besides our own."""
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def known(monkeypatch):
    """A catalogue with one small file known by content: what is hashed is real, what is published
    is not here.
    """
    (entry,) = (entry for entry in ENTRIES if entry.name == "mraa-vox256")
    entry = dataclasses.replace(
        entry, files=("secret.pth",), bytes=5, sha256=hashlib.sha256(b"hello").hexdigest()
    )
    monkeypatch.setattr(catalogue, "entries", lambda: (entry, *ENTRIES))
    return entry


def test_all_published_checkpoints_are_known():
    count = {
        family: sum(entry.family == family for entry in ENTRIES)
        for family in sorted({entry.family for entry in ENTRIES})
    }
    published = {"copart": 5, "fomm": 8, "liveportrait": 2, "monkeynet": 8}
    published |= {"mraa": 5, "tpsmm": 4, "x2face": 1}
    assert {family: count[family] for family in published} == published


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_is_well_formed_and_has_its_card(entry):
    assert entry.name == entry.name.lower() and entry.name.startswith(entry.family)
    assert entry.files and all(
        name == name.lower() and name.endswith(catalogue.EXTENSIONS) for name in entry.files
    )
    assert entry.subject and entry.suits and entry.permits
    assert entry.page.startswith("https://")
    assert entry.sha256 is None or (re.fullmatch("[0-9a-f]{64}", entry.sha256) and entry.bytes)
    card = (catalogue.DATA / entry.card).read_text(encoding="utf-8")
    assert entry.page in card
    section = card.partition(f"\n## {entry.published}\n")[2].partition("\n## ")[0]
    for fact in (
        entry.name,
        *entry.files,
        entry.subject,
        entry.suits,
        str(entry.bytes or ""),
        entry.sha256 or "SHA-256: not known here",
        *(fact for m in entry.members for fact in (m.file, str(m.bytes or ""), m.sha256 or "")),
    ):
        assert fact in section
    assert (
        f"{entry.size}x{entry.size}" if entry.size else "Native size: not known here"
    ) in section


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_what_an_entry_assumes_its_family_takes(entry):
    family = pytest.importorskip(f"comfyui_motion.networks.{entry.family}").FAMILY
    assert set(entry.assumed) <= set(family.assumed)
    registry.parameters(family, **entry.assumed)


def test_hashes_are_claimed_for_mraa_and_liveportrait_alone():
    members = [member for entry in ENTRIES for member in entry.members]
    assert {entry.family for entry in ENTRIES if entry.members} == {"liveportrait"}
    assert len({member.sha256 for member in members}) == len(members) == 13
    assert {entry.family for entry in ENTRIES if entry.sha256} == {"mraa"}
    assert len({entry.sha256 for entry in ENTRIES if entry.sha256}) == 5


@pytest.mark.parametrize(
    "name, family, found",
    [
        ("vox-cpk.pth.tar", None, "fomm-vox-256"),
        ("VOX-ADV-CPK.pth.tar", None, "fomm-vox-adv-256"),
        ("vox-adv-cpk (1).pth.tar", None, "fomm-vox-adv-256"),
        ("vox-cpk.safetensors", None, "fomm-vox-256"),
        ("vox.pth.tar", None, "tpsmm-vox-256"),
        ("taichi.pth.tar", None, "tpsmm-taichi-256"),
        ("taichi.pth.tar", "monkeynet", "monkeynet-taichi"),
        ("my-vox-full_v2.pth", "monkeynet", "monkeynet-vox-full"),
        ("my-vox.pth", None, None),
        ("vox-256.pth", None, None),
        ("vox-256.pth", "tpsmm", "tpsmm-vox-256"),
        ("vox256.pth", None, "mraa-vox256"),
        ("vox256.pth", "fomm", None),
        ("ted-youtube384.pth", "mraa", "mraa-ted-youtube384"),
        ("checkpoint.pth.tar", "fomm", None),
    ],
)
def test_a_file_name_tells_the_checkpoint_or_nothing(name, family, found):
    entry = catalogue.by_file_name(name, family)
    assert (entry and entry.name) == found


def test_every_published_file_name_is_told_apart():
    for entry in ENTRIES:
        for name in entry.files:
            assert catalogue.by_file_name(name) is entry


def test_a_short_name_that_stands_for_several_is_refused():
    assert catalogue.by_name("vox-adv-256") is catalogue.by_name("fomm-vox-adv-256")
    assert catalogue.by_name("nothing") is None
    with pytest.raises(InputError, match="fomm-vox-256 or tpsmm-vox-256"):
        catalogue.by_name("vox-256")


def test_a_file_is_read_through_once_to_know_its_content(models, monkeypatch):
    path = motion.save(
        motion.build("x2face", width=4, limit=8, levels=6, size=64), models / "a.safetensors"
    )
    entry = dataclasses.replace(ENTRIES[0], bytes=path.stat().st_size, sha256="0" * 64)
    monkeypatch.setattr(catalogue, "entries", lambda: (entry,))
    read = []
    monkeypatch.setattr(catalogue, "sha256", lambda path: read.append(path) or "1" * 64)
    motion.load(path, device="cpu")
    assert read == [path]


def test_a_preset_comes_from_the_content_before_the_name(models, known):
    renamed = models / "taichi256.pth"
    renamed.write_bytes(b"hello")
    assert catalogue.preset(renamed) == (dict(known.assumed), known.name)
    assert catalogue.preset(renamed)[0]["head_padding"] == 3
    renamed.write_bytes(b"other")
    assert catalogue.preset(renamed)[0]["head_padding"] == 0
    assert catalogue.preset(models / "mine.pth") == ({}, None)


def test_only_a_file_of_a_known_size_is_hashed(models, monkeypatch):
    monkeypatch.setattr(catalogue, "sha256", lambda path: pytest.fail("hashed"))
    (models / "vox256.pth").write_bytes(b"not that long")
    assert catalogue.preset(models / "vox256.pth")[1] == "mraa-vox256"


def test_a_known_name_finds_its_file_wherever_it_lies(models):
    assert catalogue.find("fomm-vox-256") is None
    path = models / "faces" / "Vox-cpk.pth.tar"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    for name in ("fomm-vox-256", "vox-cpk.pth.tar", "faces/Vox-cpk.pth.tar", "vox-cpk.safetensors"):
        assert catalogue.find(name) == path
    assert catalogue.installed() == {catalogue.by_name("fomm-vox-256"): path}


def test_a_set_of_files_is_installed_when_it_is_whole(models):
    (entry,) = (entry for entry in ENTRIES if entry.name == "liveportrait-human")
    folder = models / "liveportrait"
    folder.mkdir()
    for member in {member.file.partition(".")[0] for member in entry.members}:
        assert entry not in catalogue.installed()
        (folder / f"{member}.safetensors").write_bytes(b"weights")
    assert catalogue.installed()[entry].parent == folder
    folder.rename(models / "liveportrait_animals")
    assert [found.name for found in catalogue.installed()] == ["liveportrait-animals"]


def test_a_file_of_another_size_than_published_is_not_called_installed(models):
    (models / "vox256.pth").write_bytes(b"cut short")
    assert catalogue.installed() == {}
    assert catalogue.find("vox256.pth") == models / "vox256.pth"
    (models / "mraa-vox256.safetensors").write_bytes(b"converted")
    assert list(catalogue.installed().values()) == [models / "mraa-vox256.safetensors"]


def test_a_manifest_that_is_not_well_formed_is_refused(tmp_path):
    path = tmp_path / "fomm.json"
    good = json.loads((catalogue.DATA / "fomm.json").read_text(encoding="utf-8"))
    for bad in (
        {**good, "licence": 3},
        {**good, "extra": 1},
        {**good, "entries": [{"name": "x"}]},
        [],
    ):
        path.write_text(json.dumps(bad), encoding="utf-8")
        with pytest.raises(MotionError, match="fomm.json"):
            catalogue.read_manifest(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(MotionError, match="not JSON"):
        catalogue.read_manifest(path)
