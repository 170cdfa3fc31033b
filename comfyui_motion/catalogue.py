"""The published checkpoints known by name: what they move, where they are, what no tensor of theirs
tells.

The facts are in models/*.json, one manifest a family, and in words in the card beside it. Nothing
is downloaded.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .checkpoint import EXTENSIONS, sha256
from .doors.documents import is_table
from .errors import CheckpointError, InputError, MotionError
from .fileset import rooms, stem

ENVIRONMENT = "COMFYUI_MOTION_MODELS"
_HERE = Path(__file__).parent
# installed, or a checkout
DATA = _HERE / "models" if (_HERE / "models").is_dir() else _HERE.parent / "models"
# how subjects begin that are faces of people, heads alone
PEOPLE = ("talking heads", "faces that", "human faces", "parts of talking heads")


@dataclass(frozen=True)
class Member:
    """One file of a checkpoint that is several. None is for what is not known here."""

    file: str
    bytes: int | None
    sha256: str | None


@dataclass(frozen=True, eq=False)
class Entry:
    """One published checkpoint. None is for what is not known here."""

    name: str  # "fomm-vox-256"
    family: str
    published: str  # what its authors call it: "vox-256"
    files: tuple[str, ...]  # the names it is found under, the usual one first
    subject: str  # what it learned to move
    suits: str  # what to use it for
    size: int | None  # the side of the pictures it was trained on
    bytes: int | None
    sha256: str | None
    page: str  # where its authors publish it
    licence: str | None
    permits: str
    card: str  # "fomm.md"
    assumed: dict[str, Any]  # what no tensor tells, by the keyword of load()
    folder: str | None = None  # a word in the name of the folder it is usually kept in
    members: tuple[Member, ...] = ()  # its files, where it is several


@lru_cache
def entries() -> tuple[Entry, ...]:
    """Every checkpoint known by name, by family.

    Raises MotionError for a manifest that is not well formed.
    """
    found = [entry for path in sorted(DATA.glob("*.json")) for entry in read_manifest(path)]
    names = [entry.name for entry in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise MotionError(
            f"Two manifests in {DATA} name {', '.join(sorted(twice))}; each checkpoint has one."
        )
    return tuple(found)


_FAMILY = {
    "family": str,
    "page": str,
    "licence": str | None,
    "permits": str,
    "assumed": dict,
    "entries": list,
}
_ENTRY = {
    "name": str,
    "published": str,
    "files": list,
    "subject": str,
    "suits": str,
    "size": int | None,
    "bytes": int | None,
    "sha256": str | None,
    "assumed": dict,
}
_SEVERAL = {"folder": str | None, "members": list}  # of an entry that is several files
_MEMBER = {"file": str, "bytes": int | None, "sha256": str | None}


def read_manifest(path: Path) -> list[Entry]:
    """The checkpoints of one family.

    Every field is there, of its kind, and no other. Raises MotionError.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MotionError(f"{path.name} is not JSON ({error}).") from error
    _check(path, "the manifest", manifest, _FAMILY)
    shared = {key: manifest[key] for key in ("family", "page", "licence", "permits")}
    found: list[Entry] = []
    for values in manifest["entries"]:
        _check(path, "each entry", values, _ENTRY | (_SEVERAL if "members" in values else {}))
        for member in values.get("members", ()):
            _check(path, "each member", member, _MEMBER)
        size = {} if values["size"] is None else {"size": values["size"]}
        assumed = {**manifest["assumed"], **size, **values["assumed"]}
        told: dict[str, Any] = {
            **shared,
            **values,
            "files": tuple(values["files"]),
            "members": tuple(Member(**m) for m in values.get("members", ())),
            "card": f"{path.stem}.md",
            "assumed": assumed,
        }
        found.append(Entry(**told))
    return found


def _check(path: Path, what: str, values: Any, wanted: Mapping[str, Any]) -> None:
    if not is_table(values) or set(values) != set(wanted):
        raise MotionError(
            f"{path.name}: {what} must have {', '.join(wanted)}, and has {', '.join(values)}."
        )
    for key, kind in wanted.items():
        if not isinstance(values[key], kind) or isinstance(values[key], bool):
            raise MotionError(
                f"{path.name}: {key} of {what} must be {getattr(kind, '__name__', kind)}, and is"
                f" {values[key]!r}."
            )


def by_sha256(digest: str) -> Entry | None:
    """The checkpoint whose file has this SHA-256, in hexadecimal."""
    return next((entry for entry in entries() if entry.sha256 == digest.lower()), None)


def by_name(name: str) -> Entry | None:
    """A checkpoint by its name ("fomm-vox-256"), or by what its authors call it where one family
    alone does ("vox-adv-256").

    Raises InputError for a short name that stands for several.
    """
    found = [e for e in entries() if e.name == name.lower()] or [
        e for e in entries() if e.published == name.lower()
    ]
    if len(found) > 1:
        raise InputError(f"{name} may be {' or '.join(entry.name for entry in found)}; say which.")
    return found[0] if found else None


def for_faces(name: str | None) -> bool:
    """Whether the checkpoint of that name learned to move people's faces alone."""
    entry = None if name is None else by_name(name)
    return entry is not None and entry.subject.startswith(PEOPLE)


def by_file_name(name: str, family: str | None = None) -> Entry | None:
    """The checkpoint that a file of this name most likely is. None where two are as likely.

    Once the family is known from the tensors, part of a name is enough: "my-vox-full.pth" of
    monkeynet is vox-full, not vox.
    """
    likeness = {
        entry: _likeness(name, entry, partly=family is not None)
        for entry in entries()
        if family in (None, entry.family)
    }
    best = max(likeness.values(), default=())
    likely = [entry for entry, how in likeness.items() if how == best]
    return likely[0] if best and len(likely) == 1 else None


def _likeness(name: str, entry: Entry, partly: bool) -> tuple[int, ...]:
    """Greater is more alike, () is not alike: the very file name, then all words of a known name,
    then most of them.
    """
    words = _words(name)
    names = [_words(alias) for alias in (entry.name, entry.published, *entry.files)]
    alike = [
        (known == words, len(known))
        for known in names
        if known == words or (partly and f" {known} " in f" {words} ")
    ]
    return (name.lower() in entry.files, *max(alike)) if alike else ()


def _words(name: str) -> str:
    """A file name without what follows it, its words apart by spaces: "vox cpk" of
    "vox-cpk.pth.tar" and of "Vox-cpk.pth (1).tar".
    """
    stem = re.sub(r" ?\(\d+\)", "", Path(name).name.lower())
    while stem.endswith(EXTENSIONS):
        stem = stem.rpartition(".")[0]
    return " ".join(re.findall(r"[a-z0-9]+", stem))


def preset(path: str | Path, family: str | None = None) -> tuple[dict[str, Any], str | None]:
    """What no tensor of this file tells, as published, and the name of the checkpoint it was taken
    for: by SHA-256, else by file name.

    Only a file of exactly a known size is hashed: 700 MB take seconds. `family`, once known, keeps
    a name from misleading.
    """
    path = Path(path)
    entry = _by_content(path) or by_file_name(path.name, family)
    return (dict(entry.assumed), entry.name) if entry else ({}, None)


def preset_of(files: tuple[Path, ...], family: str) -> tuple[dict[str, Any], str | None]:
    """`preset` of a checkpoint that is one file or several."""
    return preset(files[0], family) if len(files) == 1 else preset_of_set(files, family)


def preset_of_set(files: tuple[Path, ...], family: str) -> tuple[dict[str, Any], str | None]:
    """The same of a checkpoint that is several files: by SHA-256, else by its folder's name.

    Raises CheckpointError where files of two published checkpoints were put together.
    """
    found: dict[Entry, Path] = {}
    for path in files:
        for entry in _of_member(path, family):
            found.setdefault(entry, path)
    if len(found) > 1:
        told = " and ".join(f"{path.name} of {entry.name}" for entry, path in found.items())
        raise CheckpointError(f"Files of two sets lie together, {told}; take all from one.")
    ours = [entry for entry in entries() if entry.family == family and entry.members]
    words = " ".join(part.lower() for part in files[0].absolute().parts[-3:-1])
    kept = [entry for entry in ours if entry.folder and entry.folder in words]
    entry = next(iter([*found, *kept]), None)
    return (dict(entry.assumed), entry.name) if entry else ({}, None)


def _of_member(path: Path, family: str) -> list[Entry]:
    """The one checkpoint that this file belongs to, by content; none where several share it."""
    size, ours = path.stat().st_size, [e for e in entries() if e.family == family]
    members = [(e, m) for e in ours for m in e.members if m.sha256 and m.bytes in (None, size)]
    if not any(member.file == path.name or member.bytes == size for _, member in members):
        return []
    digest = sha256(path)
    known = [entry for entry, member in members if member.sha256 == digest]
    return known if len(known) == 1 else []


def _by_content(path: Path) -> Entry | None:
    sizes = {entry.bytes for entry in entries() if entry.sha256}
    return by_sha256(sha256(path)) if path.is_file() and path.stat().st_size in sizes else None


def search_paths() -> tuple[Path, ...]:
    """Folders where checkpoints are looked for: those in COMFYUI_MOTION_MODELS, the user's cache,
    and our own.
    """
    named = [
        Path(folder).expanduser()
        for folder in os.environ.get(ENVIRONMENT, "").split(os.pathsep)
        if folder
    ]
    return (*named, Path.home() / ".cache" / "comfyui_motion", DATA)


def find(name: str) -> Path | None:
    """The installed file of a known name, or of a file name, wherever in the search paths it lies.
    Raises InputError as `by_name` does.

    The pack's own models come first: no other file may take their names.
    """
    if name in bundled():
        return bundled()[name]
    files = list(checkpoints())
    named = [folder / name for folder in search_paths() if (folder / name).is_file()]
    named += [path for path in files if path.name.lower() == name.lower()]
    if named:
        return named[0]
    entry = by_name(name) or by_file_name(name)
    return installed().get(entry) if entry else None


def bundled() -> dict[str, Path]:
    """The models that come with the pack, by name. Each has its card beside it."""
    return {path.stem: path for path in sorted(DATA.glob("*.safetensors"))}


def installed() -> dict[Entry, Path]:
    """The known checkpoints in the search paths, each with its first file: known by name, and by
    size where that is published.
    """
    found: dict[Entry, Path] = {}
    for path in checkpoints():
        words = _words(path.name)
        for entry in entries():
            if entry.members and not _complete(path, entry):
                continue
            names = (entry.name, *entry.files, *(member.file for member in entry.members))
            if words in map(_words, names) and (
                entry.bytes in (None, path.stat().st_size) or _converted(path)
            ):
                found.setdefault(entry, path)
    return found


def _complete(path: Path, entry: Entry) -> bool:
    """Whether a file is a whole checkpoint converted into one, or all others of the set lie beside
    it, in such a folder as they are kept in.
    """
    if _words(path.name) in map(_words, (entry.name, entry.published)):
        return True
    ours = [e for e in entries() if e.family == entry.family and e.folder]
    kept = next((e for e in ours if e.folder and e.folder in str(path.parent).lower()), None)
    beside = {stem(file) for room in rooms(path.parent) for file in room.iterdir()}
    return (kept or entry) is entry and {stem(m.file) for m in entry.members} <= beside


def _converted(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors"


def checkpoints() -> Iterator[Path]:
    """Every checkpoint file in the search paths, in their order."""
    for folder in search_paths():
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.name.lower().endswith(EXTENSIONS) and path.is_file():
                yield path
