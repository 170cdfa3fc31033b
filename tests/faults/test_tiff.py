"""TIFFs as scanners, renderers and instruments write them: every kind of number, every order."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from comfyui_motion.errors import MediaError
from comfyui_motion.media.picture import read_picture
from comfyui_motion.media.video import read_video

COLOUR = (0.75, 0.5, 0.25)
SIDE = 16
SHORT, LONG = 3, 4


def tiff(pixels, order="<", planes=False, packed=False, more=()):
    """A TIFF of one strip a plane. H W C"""
    height, width, samples = pixels.shape
    parts = pixels.transpose(2, 0, 1) if planes else pixels[None]
    written = pixels.dtype.newbyteorder(order)
    strips = [np.ascontiguousarray(part).astype(written).tobytes() for part in parts]
    strips = [zlib.compress(strip) if packed else strip for strip in strips]
    body, places = b"", []
    for strip in strips:
        places.append(8 + len(body))
        body += strip
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    bits = pixels.dtype.itemsize * 8
    tags = [
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, [bits] * samples),
        (259, SHORT, [8 if packed else 1]),
        (262, SHORT, [2 if samples >= 3 else 1]),
        (273, LONG, places),
        (277, SHORT, [samples]),
        (278, LONG, [height]),
        (279, LONG, [len(strip) for strip in strips]),
        (284, SHORT, [2 if planes else 1]),
        (339, SHORT, [kind] * samples),
        *more,
    ]
    directory, beyond = b"", b""
    start = 8 + len(body) + 2 + 12 * len(tags) + 4
    for number, form, values in sorted(tags):
        data = struct.pack(f"{order}{len(values)}{'H' if form == SHORT else 'I'}", *values)
        if len(data) > 4:
            place, beyond = struct.pack(f"{order}I", start + len(beyond)), beyond + data
        else:
            place = data.ljust(4, b"\0")
        directory += struct.pack(f"{order}HHI", number, form, len(values)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(body))
    count = struct.pack(f"{order}H", len(tags))
    return head + body + count + directory + b"\0" * 4 + beyond


def shades(kind, colour=COLOUR):
    top = 1 if np.dtype(kind).kind == "f" else np.iinfo(kind).max
    return np.broadcast_to((np.array(colour) * top).astype(kind), (SIDE, SIDE, len(colour)))


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "f2", "f4", "f8"])
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_colours_of_any_number_in_any_order(tmp_path, kind, planes, order):
    (tmp_path / "a.tif").write_bytes(tiff(shades(kind), order, planes))
    found = read_picture(tmp_path / "a.tif")[0, :, 5, 5].numpy()
    assert np.abs(found - COLOUR).max() < 0.005


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_gray_of_any_number(tmp_path, kind):
    pixels = shades(kind, (0.5,)).copy()
    pixels[0, 0] = 1 if pixels.dtype.kind == "f" else np.iinfo(kind).max
    (tmp_path / "a.tif").write_bytes(tiff(pixels))
    assert abs(float(read_picture(tmp_path / "a.tif")[0, 0, 5, 5]) - 0.5) < 0.005


@pytest.mark.parametrize(("kind", "planes"), [("u2", True), ("f2", False)])
def test_packed_strips_are_unpacked(tmp_path, kind, planes):
    (tmp_path / "a.tif").write_bytes(tiff(shades(kind), planes=planes, packed=True))
    assert np.abs(read_picture(tmp_path / "a.tif")[0, :, 5, 5].numpy() - COLOUR).max() < 0.005


def test_premultiplied_colours_are_as_bright_as_they_were(tmp_path):
    pixels = shades("f4", (0.375, 0.25, 0.125, 0.5))
    (tmp_path / "a.tif").write_bytes(tiff(pixels, more=[(338, SHORT, [1])]))
    found = read_picture(tmp_path / "a.tif", background=(0, 0, 0))[0, :, 5, 5].numpy()
    assert np.abs(found - np.array(COLOUR) / 2).max() < 0.005


@pytest.mark.parametrize("kind", ["u1", "u2", "f4", "f2"])
@pytest.mark.parametrize("colour", [(0.75,), COLOUR, (*COLOUR, 1.0)])
def test_every_kind_stands_upright(tmp_path, kind, colour):
    pixels = shades(kind, colour).copy()[:8]
    pixels[:4, :8, :3] = 0  # dark at the stored top left: at the right, once it is turned
    more = [(274, SHORT, [6]), *[(338, SHORT, [2])] * (len(colour) == 4)]
    (tmp_path / "a.tif").write_bytes(tiff(pixels, more=more))
    found = read_picture(tmp_path / "a.tif")[0, 0]
    assert found.shape == (16, 8) and found[2, 6] < 0.01 and found[2, 1] > 0.7


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deep_gray_stands_upright(tmp_path, suffix):
    pixels = np.full((8, 16), 40000, np.uint16)
    pixels[:4, :8] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", exif=exif)
    found = read_picture(tmp_path / f"a{suffix}")[0, 0]
    assert found.shape == (16, 8) and found[2, 6] < 0.01 and found[2, 1] > 0.5


def test_a_cut_off_one_is_a_sentence(tmp_path):
    whole = tiff(shades("u2"), planes=True)
    lying = whole.replace(struct.pack("<I", 2 * SIDE * SIDE), struct.pack("<I", 9))
    (tmp_path / "a.tif").write_bytes(lying)
    with pytest.raises(MediaError, match="damaged or unfinished"):
        read_picture(tmp_path / "a.tif")


def test_one_beyond_four_gigabytes_opens_as_others_do(tmp_path):
    Image.new("RGB", (16, 16), (200, 60, 40)).save(tmp_path / "a.tif", big_tiff=True)
    assert read_video(tmp_path / "a.tif").frames().shape == (1, 3, 16, 16)
