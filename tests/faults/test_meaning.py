"""What a picture means: profiles, more than eight bits, oblong pixels, bright films;
content decides.
"""

from __future__ import annotations

import io
import shutil
import struct
import zlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from comfyui_motion.errors import MediaError
from comfyui_motion.media.picture import read_alpha, read_picture
from comfyui_motion.media.profiles import ADOBE_RGB, CONES, D50
from comfyui_motion.media.tone import GAMUTS, PEAK, encoded, rolled_off, to_xyz
from comfyui_motion.media.video import read_video

P3, COLOUR, MEANT = GAMUTS[12], (200, 60, 40), (219, 37, 13)  # at gamma 2.2, by the matrices

of_avif = pytest.mark.skipif(
    ".avif" not in Image.registered_extensions(), reason="builds of Pillow without libavif"
)


def profile(primaries=None, gamma=2.2, table=False):
    """An ICC profile of curves and a matrix; without primaries a gray one."""
    fixed = lambda values: b"".join(struct.pack(">i", round(v * 65536)) for v in values)  # noqa: E731
    padded = lambda data: data + b"\0" * (-len(data) % 4)  # noqa: E731
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    if table:
        values = (np.linspace(0, 1, 1024) ** gamma * 65535).round().astype(">u2")
        curve = b"curv\0\0\0\0" + struct.pack(">I", 1024) + values.tobytes()
    named = padded(b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78)
    tags = [(b"desc", named), (b"cprt", padded(b"text\0\0\0\0free\0"))]
    tags.append((b"wtpt", b"XYZ \0\0\0\0" + fixed(D50)))
    if primaries is None:
        tags.append((b"kTRC", curve))
    else:
        matrix = to_xyz(primaries)
        white = matrix @ np.ones(3)
        matrix = np.linalg.inv(CONES) @ np.diag(CONES @ D50 / (CONES @ white)) @ CONES @ matrix
        for place, name in enumerate((b"r", b"g", b"b")):
            tags += [
                (name + b"XYZ", b"XYZ \0\0\0\0" + fixed(matrix[:, place])),
                (name + b"TRC", curve),
            ]
    listed, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags:
        listed += name + struct.pack(">II", start + len(body), len(data))
        body += data
    kind = b"mntrRGB XYZ " if primaries else b"mntrGRAYXYZ "
    head = struct.pack(">I", start + len(body)) + b"lcms" + struct.pack(">I", 0x02100000) + kind
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acspMSFT" + b"\0" * 24 + fixed(D50)
    return head + b"\0" * 48 + listed + body


def colour_of(picture):
    return [round(float(v) * 255) for v in picture[0, :, 5, 5]]


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".tif", ".webp", pytest.param(".avif", marks=of_avif)]
)
@pytest.mark.parametrize("table", [False, True])
def test_a_profile_is_heeded_in_every_kind(tmp_path, suffix, table):
    path = tmp_path / f"a{suffix}"
    lossless = {"lossless": True} if suffix == ".webp" else {"quality": 100}
    Image.new("RGB", (32, 32), COLOUR).save(path, icc_profile=profile(P3, table=table), **lossless)
    assert max(abs(a - b) for a, b in zip(colour_of(read_picture(path)), MEANT, strict=True)) <= 5
    assert colour_of(read_video(path).frames()) == colour_of(read_picture(path))


def test_a_profile_is_heeded_in_folders_and_animations_and_beside_alpha(tmp_path):
    frames = [Image.new("RGBA", (32, 32), (*COLOUR, 255 - 60 * i)) for i in range(2)]
    for name in ("1.png", "2.png"):
        frames[0].save(tmp_path / name, icc_profile=profile(P3))
    found = read_video(tmp_path).frames()
    assert all(abs(a - b) <= 3 for a, b in zip(colour_of(found[1:]), MEANT, strict=True))
    frames[1].save(tmp_path / "1.png", icc_profile=profile(P3))
    assert abs(float(read_alpha(tmp_path / "1.png").mean()) - 195 / 255) < 0.01
    moving = tmp_path / "a.png"
    frames[0].save(
        moving, save_all=True, append_images=[frames[0].rotate(1)], icc_profile=profile(P3)
    )
    assert all(
        abs(a - b) <= 3 for a, b in zip(colour_of(read_video(moving).frames()), MEANT, strict=True)
    )


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 16])
def test_gray_with_a_gamma_of_its_own_has_its_own_light(tmp_path, suffix, bits):
    pixels = np.full(
        (16, 16), 128 if bits == 8 else 128 * 257, np.uint8 if bits == 8 else np.uint16
    )
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path, icc_profile=profile(gamma=1.8))
    wanted = float(encoded(torch.tensor((128 / 255) ** 1.8)))
    assert abs(float(read_picture(path).mean()) - wanted) < 0.012


def test_sixteen_bits_keep_theirs_through_a_profile(tmp_path):
    ramp = np.linspace(20000, 24000, 256).astype(np.uint16)
    pixels = np.repeat(ramp[None], 8, 0)[..., None].repeat(3, 2)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    data = (tmp_path / "a.png").read_bytes()
    import zlib

    body = b"test\0\0" + zlib.compress(profile(P3))
    chunk = (
        struct.pack(">I", len(body))
        + b"iCCP"
        + body
        + struct.pack(">I", zlib.crc32(b"iCCP" + body))
    )
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    found = read_picture(tmp_path / "a.png")[0, :, 4]
    assert len(found[0].unique()) > 200  # eight bits have 16 there
    light = torch.from_numpy(ramp.astype(np.float32) / 65535) ** (563 / 256)
    assert (found - encoded(light.clamp(0, 1))).abs().max() < 0.01  # gray is gray in every gamut


def numbered_colours(path, primaries, transfer):
    """A PNG that says its colours by number."""
    body = b"cICP" + bytes([primaries, transfer, 0, 1])
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk + data[33:])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "sixteen bits"])
@pytest.mark.parametrize(
    ("numbers", "meant", "gray"),
    [
        ((12, 13), (217, 42, 23), 128),  # Display P3
        ((1, 8), (229, 133, 110), 188),  # linear
        ((1, 13), COLOUR, 128),
        ((2, 2), COLOUR, 128),  # not told
    ],
)
def test_a_png_s_colours_by_number_are_heeded(tmp_path, mode, numbers, meant, gray):
    path = tmp_path / "a.png"
    if mode == "sixteen bits":
        pixels = np.full((16, 16, 3), COLOUR[::-1], np.uint16) * 257
        cv2.imwrite(str(path), pixels)
    elif mode == "P":
        Image.new("RGB", (16, 16), COLOUR).quantize(4).save(path)
    else:
        colour = 128 if mode == "L" else (*COLOUR, 255)[: len(mode)]
        Image.new(mode, (16, 16), colour).save(path)
    numbered_colours(path, *numbers)
    wanted = (gray,) * 3 if mode == "L" else meant
    for found in (read_picture(path), read_video(path).frames()):
        assert max(abs(a - b) for a, b in zip(colour_of(found), wanted, strict=True)) <= 1


def test_a_png_s_number_is_above_its_profile(tmp_path):
    Image.new("RGB", (16, 16), COLOUR).save(tmp_path / "a.png", icc_profile=profile(P3))
    numbered_colours(tmp_path / "a.png", 1, 13)
    assert colour_of(read_picture(tmp_path / "a.png")) == list(COLOUR)


@pytest.mark.parametrize(("transfer", "white"), [(16, 38000), (18, 49000)])
@pytest.mark.parametrize("gray", [True, False])
def test_a_bright_png_is_brought_down_as_a_film_is(tmp_path, transfer, white, gray):
    pixels = np.full((16, 16) if gray else (16, 16, 3), white, np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    numbered_colours(tmp_path / "a.png", 9, transfer)
    assert all(200 < value < 245 for value in colour_of(read_picture(tmp_path / "a.png")))


@of_avif
@pytest.mark.parametrize("frames", [1, 3])
def test_an_avif_s_colours_by_number_are_heeded(tmp_path, frames):
    path, still = tmp_path / "a.avif", Image.new("RGB", (32, 32), COLOUR)
    more = {"save_all": True, "append_images": [still.rotate(1)] * 2} if frames > 1 else {}
    still.save(path, quality=100, **more)
    data = path.read_bytes()
    assert b"colrnclx" in data
    path.write_bytes(data.replace(b"colrnclx\0\1\0\x0d", b"colrnclx\0\x0c\0\x0d"))
    for found in (read_picture(path), read_video(path).frames()):
        assert max(abs(a - b) for a, b in zip(colour_of(found), (217, 42, 23), strict=True)) <= 2


def test_a_camera_that_says_adobe_rgb_in_exif_alone_is_believed(tmp_path):
    image, exif = Image.new("RGB", (32, 32), (60, 180, 80)), Image.Exif()
    image.save(tmp_path / "icc.jpg", quality=100, icc_profile=profile(ADOBE_RGB, 563 / 256))
    exif.get_ifd(0x8769)[0xA001] = 2
    image.save(tmp_path / "exif.jpg", quality=100, exif=exif)
    found = [colour_of(read_picture(tmp_path / name)) for name in ("icc.jpg", "exif.jpg")]
    assert max(abs(a - b) for a, b in zip(*found, strict=True)) <= 2 and found[0][0] < 40


@pytest.mark.parametrize(
    ("chunks", "stored", "meant"),
    [
        ({"gAMA": [100000]}, (128, 128, 128), (188, 188, 188)),
        ({"gAMA": [45455]}, (128, 128, 128), (128, 128, 128)),
        ({"gAMA": [100000], "sRGB": b"\0"}, (128, 128, 128), (128, 128, 128)),
        (
            {"cHRM": [31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000]},
            COLOUR,
            (218, 44, 23),
        ),
    ],
)
def test_a_png_s_own_gamma_and_primaries_are_heeded(tmp_path, chunks, stored, meant):
    Image.new("RGB", (16, 16), stored).save(tmp_path / "a.png")
    data, more = (tmp_path / "a.png").read_bytes(), b""
    for name, values in chunks.items():
        body = values if isinstance(values, bytes) else struct.pack(f">{len(values)}I", *values)
        named = name.encode() + body
        more += struct.pack(">I", len(body)) + named + struct.pack(">I", zlib.crc32(named))
    (tmp_path / "a.png").write_bytes(data[:33] + more + data[33:])
    found = colour_of(read_picture(tmp_path / "a.png"))
    assert max(abs(a - b) for a, b in zip(found, meant, strict=True)) <= 2


def test_a_profile_that_is_none_is_told_of_and_the_picture_read(tmp_path, caplog):
    Image.new("RGB", (16, 16), COLOUR).save(tmp_path / "a.png", icc_profile=b"nothing of the kind")
    assert colour_of(read_picture(tmp_path / "a.png")) == list(COLOUR)
    assert "profile" in caplog.text


@pytest.mark.parametrize(
    ("numbers", "wanted", "told"),
    [
        (np.float32([[0, 0.25, 1.0]]), [0, 0.25, 1], False),
        (np.float32([[0, 63.75, 255]]), [0, 0.25, 1], True),
        (np.float32([[0, 16383.75, 65535]]), [0, 0.25, 1], True),
        (np.float32([[0, 0.25, 3.0]]), [0, 0.25, 1], True),
        (np.int32([[0, 2**29, 2**31 - 1]]), [0, 0.25, 1], False),
        (np.int32([[0, 64, 255]]), [0, 0.251, 1], True),
        (np.int32([[0, 16384, 65535]]), [0, 0.25, 1], True),
    ],
)
def test_deep_tiffs_are_neither_black_nor_white(tmp_path, caplog, numbers, wanted, told):
    Image.fromarray(np.repeat(numbers, 4, 0)).save(tmp_path / "a.tif")
    found = read_picture(tmp_path / "a.tif")[0, 0, 0]
    assert (found - torch.tensor(wanted)).abs().max() < 0.002
    assert bool(caplog.text) == told


def test_colours_as_floats_are_read(tmp_path):
    pixels = np.full((8, 8, 3), (0.1, 0.5, 0.9), np.float32)
    cv2.imwrite(str(tmp_path / "a.tif"), pixels)
    assert (
        read_picture(tmp_path / "a.tif")[0, :, 4, 4] - torch.tensor([0.9, 0.5, 0.1])
    ).abs().max() < 1e-3


def test_numbers_that_are_none_are_named(tmp_path):
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(MediaError, match="no numbers"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(Fraction(16, 11), (93, 48)), (Fraction(8, 9), (64, 54)), (Fraction(1), (64, 48))],
)
@pytest.mark.parametrize("name", ["d.mp4", "d.mkv", "d.mov"])
def test_oblong_pixels_are_shown_as_wide_as_they_are(film, name, aspect, size):
    clip = read_video(film(name, 3, aspect=aspect))
    assert (clip.width, clip.height) == size and clip.frames().shape[-2:] == size[::-1]


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_a_bright_film_is_brought_down_to_the_screen(tmp_path, transfer, name):
    levels = {16: [0.0, 0.45, 0.58, 0.75], 18: [0.0, 0.45, 0.75, 1.0]}[transfer]
    path = tmp_path / "d.mp4"
    with av.open(str(path), "w") as target:
        stream = target.add_stream(
            "libx265", rate=25, options={"x265-params": "log-level=none", "crf": "4"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = (
            9,
            transfer,
            9,
            1,
        )
        for number, level in enumerate(levels):
            pixels = np.full((64, 64, 3), round(level * 65535), np.uint16)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le").reformat(
                format="yuv420p10le", dst_colorspace=9, dst_color_range="MPEG"
            )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    frames = read_video(path).frames()
    gray = frames.mean((1, 2, 3)).tolist()
    assert gray == sorted(gray) and gray[0] < 0.02 and gray[-1] > 0.97
    assert 0.75 < gray[2] < 0.95, "reference white is bright, and not white"
    assert (frames.amax(1) - frames.amin(1)).max() < 0.02  # gray stays gray


def test_the_roll_off_leaves_what_is_dark_and_never_turns_back():
    light = torch.linspace(0, PEAK, 1000)
    found = rolled_off(light)
    assert torch.equal(found[light <= 0.7], light[light <= 0.7])
    assert (found.diff() > 0).all() and abs(float(found[-1]) - 1) < 1e-5


@pytest.mark.parametrize(
    ("held", "called"),
    [
        ("d.mp4", "a.gif"),
        ("d.webm", "a.png"),
        ("a.webp", "a.mp4"),
        ("a.png", "a.jpg"),
        ("a.gif", "a.mov"),
        ("d.mp4", "a.tga"),
    ],
)
def test_content_decides_what_a_file_is(film, tmp_path, held, called):
    path = tmp_path / "held" / held
    path.parent.mkdir()
    if held.startswith("d"):
        shutil.move(film(held, 5), path)
    else:
        frames = [Image.new("RGB", (32, 32), (40 * i, 0, 0)) for i in range(5)]
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    shutil.copy(path, tmp_path / called)
    assert len(read_video(tmp_path / called).frames()) == len(read_video(path).frames()) == 5


def test_a_photograph_with_another_inside_is_one_picture(tmp_path):
    first, second = Image.new("RGB", (32, 24), (200, 0, 0)), Image.new("RGB", (16, 12), (0, 0, 200))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert len(read_video(tmp_path / "a.jpg").frames()) == 1
    assert read_picture(tmp_path / "a.jpg").shape == (1, 3, 24, 32)


def test_a_heic_picture_says_what_to_do(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200)
    for read in (read_picture, read_video):
        with pytest.raises(MediaError, match="HEIC.*JPEG"):
            read(tmp_path / "a.jpg")


def test_the_two_ways_to_a_profile_agree():
    """Little CMS for eight bits, our own curves for more."""
    from comfyui_motion.media.profiles import Shaper

    made = profile(P3)
    image = Image.fromarray((np.random.default_rng(0).random((16, 16, 3)) * 255).astype(np.uint8))
    theirs = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(made)), ImageCms.createProfile("sRGB")
    )
    ours = Shaper.of(made)(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255)
    off = ours[0].permute(1, 2, 0) * 255 - torch.from_numpy(np.array(theirs)).float()
    assert off.abs().max() < 2.5
