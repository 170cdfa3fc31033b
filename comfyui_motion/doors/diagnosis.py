"""What a file is that was given as a checkpoint and plainly is none, in one sentence."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from pathlib import Path

from ..errors import CheckpointError, boundary
from ..media.kinds import archive, is_film, is_picture, is_pointer, is_text, is_web_page
from .words import shown

EXTENSIONS = (".safetensors", ".pth", ".pt", ".ckpt", ".tar", ".bin")
LONGEST_HEADER = 100_000_000  # bytes, as the safetensors format has it


def diagnose(path: Path) -> str | None:
    """One sentence on what a file is when it plainly is no checkpoint, or None.

    Raises CheckpointError where the system does not let it be looked at.
    """
    with boundary(CheckpointError, f"{shown(path, 200)} cannot be read ({{reason}})."):
        try:
            found = path.stat()
        except FileNotFoundError:
            address = re.match(r"([a-z][a-z0-9+.]+):/", str(path))
            if address and len(address[1]) > 1:
                return (
                    f"{shown(path, 200)} is an address, and a checkpoint on this machine was"
                    " expected: nothing is downloaded here, so save it and name the file."
                )
            return (
                f"There is no file {shown(path, 200)}; check the name, or run `comfyui-motion"
                " models` to see what is installed."
            )
        if stat.S_ISDIR(found.st_mode):
            return _diagnose_folder(path)
        if not stat.S_ISREG(found.st_mode):
            return f"{path.name} is a pipe or a device, not a file; save the checkpoint first."
        with path.open("rb") as file:
            head = file.read(512)
        return _diagnose_content(path, found.st_size, head)


def _diagnose_content(path: Path, size: int, head: bytes) -> str | None:
    if not size:
        return f"{path.name} is empty: the download never began; download it again."
    if is_web_page(head):
        return (
            f"{path.name} is a web page, not weights (a download limit or a login page was saved in"
            " its place); download it again in a browser."
        )
    if is_pointer(head):
        return (
            f"{path.name} is a Git LFS pointer of {size} bytes, not the weights; run `git lfs"
            " pull`, or download the file itself."
        )
    packed = archive(head)
    if packed:
        return f"{path.name} is a {packed} archive; unpack it once and use the checkpoint inside."
    if head.startswith(b"PK"):
        return _diagnose_zip(path)
    if is_safetensors(path):
        return None
    if head[257:262] == b"ustar":
        return (
            f"{path.name} is a tar archive; unpack it and use the checkpoint inside (a real"
            " .pth.tar is not an archive)."
        )
    if is_picture(path) or is_film(path):
        what = "picture" if is_picture(path) else "film"
        return f"{path.name} is a {what}, and a checkpoint was expected: were two files swapped?"
    if is_text(head):
        return f"{path.name} is a text file, not weights; download the checkpoint itself."
    return None


def _diagnose_folder(path: Path) -> str:
    return f"{path.name or path} is a folder; name the checkpoint file inside it."


def _diagnose_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # whatever zipfile meets in a directory that is not one
        return (
            f"{path.name} was cut short or is damaged ({path.stat().st_size} bytes arrived, and"
            " they do not end as a checkpoint does); download it again."
        )
    if any(name.endswith("data.pkl") for name in names):
        return (
            f"{path.name} is a TorchScript program, not a checkpoint; get the weights themselves."
            if _scripted(names)
            else None
        )
    inside = next((name for name in names if name.lower().endswith(EXTENSIONS)), None)
    return (
        f"{path.name} is a zip archive; unpack it and use"
        f" {inside or 'the checkpoint it came with'}."
    )


def _scripted(names: list[str]) -> bool:
    return any(name.endswith("constants.pkl") for name in names)


def is_safetensors(path: Path) -> bool:
    """By content: eight bytes of length, then JSON."""
    return 0 < header_length(path) < LONGEST_HEADER


def header_length(path: Path) -> int:
    """Bytes of the JSON that a safetensors file begins with; 0 for a file that begins otherwise."""
    with path.open("rb") as file:
        head = file.read(9)
    return struct.unpack("<Q", head[:8])[0] if len(head) == 9 and head[8:] == b"{" else 0
