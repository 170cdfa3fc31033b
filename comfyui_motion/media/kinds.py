"""What a file is, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from .foreign import foreign

# Pillow's names of what is opened here; no other of its formats, for some start programs
KINDS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")
PICTURE_STARTS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\xff\x4f\xff\x51",
    b"P1",
    b"P2",
    b"P3",
    b"P4",
    b"P5",
    b"P6",
)
AVIF = (b"avif", b"avis")
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
WEB_STARTS = (b"<!doctype", b"<html", b"<?xml", b"<head")
ARCHIVES = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "RAR",
    b"BZh": "bzip2",
}
FILM_STARTS = (b"\x1a\x45\xdf\xa3", b"FLV", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"OggS")


def head_of(path: Path, size: int = 64) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def kinds_of(path: Path) -> tuple[str, ...]:
    """The formats that a file may be opened as."""
    return (*KINDS, "TGA") if path.suffix.lower() == ".tga" else KINDS  # TGA has no mark


def is_picture(path: Path) -> bool:
    """Whether the content is a picture's, still or animated."""
    head = head_of(path)
    return (
        head.startswith(PICTURE_STARTS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and bool(_brands(head) & {*AVIF, *HEIC}))
        or path.suffix.lower() == ".tga"
        and not is_film(path)
    )


def is_film(path: Path) -> bool:
    head = head_of(path)
    return head.startswith(FILM_STARTS) or (
        (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or (head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"))
    )


def is_sound(path: Path) -> bool:
    head = head_of(path)
    return head.startswith((b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"FORM")) or (
        head[8:12] in (b"WAVE", b"M4A ", b"M4B ") or head[28:36] in (b"OpusHead", b"\x01vorbis")
    )


def is_tiff(path: Path) -> bool:
    return head_of(path).startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))


def is_heic(path: Path) -> bool:
    head = head_of(path)
    return head[4:8] == b"ftyp" and bool(_brands(head) & {*HEIC}) and not _brands(head) & {*AVIF}


def _brands(head: bytes) -> set[bytes]:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}


def is_web_page(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(WEB_STARTS)


def is_pointer(head: bytes) -> bool:
    """Whether Git LFS left it in the place of the file."""
    return head.startswith(b"version https://git-lfs")


def archive(head: bytes) -> str | None:
    """The name of its kind; zip, which checkpoints are as well, is not among them."""
    return next((kind for start, kind in ARCHIVES.items() if head.startswith(start)), None)


def is_text(head: bytes) -> bool:
    try:
        return all(c.isprintable() or c.isspace() for c in head[:200].decode("utf-8"))
    except UnicodeDecodeError:
        return False


def mistaken(path: Path, wanted: str) -> str | None:
    """What to say of a file that plainly is something else than `wanted`: "a clip"."""
    head = head_of(path, 512)
    if told := foreign(path, wanted):
        return told
    packed = archive(head) or ("zip" if head.startswith(b"PK\3\4") else None)
    if is_web_page(head):
        return (
            f"{path} is a web page, and {wanted} was expected: a login page or an error was saved"
            " in its place; download it again in a browser."
        )
    if is_pointer(head):
        return f"{path} is a Git LFS pointer, and {wanted} was expected: run `git lfs pull`."
    if packed:
        return f"{path} is a {packed} archive, and {wanted} was expected: unpack it first."
    if head[5:9] == b"\0\0\0{" or path.suffix.lower() in (".safetensors", ".pth", ".ckpt"):
        return f"{path} holds a model's weights, and {wanted} was expected; they go to --model."
    if is_text(head):
        return f"{path} is a text file, and {wanted} was expected."
    return None


def not_opened(path: Path) -> str | None:
    """What to say of pictures and documents of kinds that are not opened here."""
    if is_heic(path):
        return (
            f"{path} is a HEIC picture, as iPhones take them, which is not opened here; save it as"
            " JPEG or PNG (on the phone: Settings, Camera, Formats, Most Compatible)."
        )
    return foreign(path, "a picture")


def no_picture(path: Path) -> str:
    """What to say of a file that is no picture of those kinds."""
    if told := not_opened(path):
        return told
    if is_sound(path):
        return f"{path} holds only sound, and a picture was expected."
    if is_film(path):
        return (
            f"{path} is a film, and a picture was expected; the picture comes first, then the clip:"
            " were the two swapped?"
        )
    return mistaken(path, "a picture") or (
        f"{path} is not a picture of any kind that is opened here: PNG, JPEG, GIF, WebP, AVIF, BMP,"
        " TIFF, TGA, JPEG 2000 or PPM."
    )
