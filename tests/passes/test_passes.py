"""Passes leave exactly, come back exactly, and an independent reader agrees."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from comfyui_motion import (
    InputError,
    MediaError,
    MotionField,
    read_picture,
    read_stmap,
    tracks,
    write_passes,
)
from comfyui_motion.field import identity_grid
from comfyui_motion.media import exr
from comfyui_motion.passes import maps, write

HEIGHT, WIDTH, FRAMES = 40, 56, 3
STILL = MotionField.identity(1, HEIGHT, WIDTH).to_pixels(HEIGHT, WIDTH)

with_openexr = pytest.mark.skipif(not exr.has_openexr(), reason="the extra exr is not installed")


@pytest.fixture
def field() -> MotionField:
    """Turning about a spot; a corner is hidden."""
    angle = 0.04 * torch.arange(FRAMES)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(-1, 2, 2)
    centre = torch.tensor([27.0, 19.0])
    pixels = torch.einsum("fij,bhwj->fhwi", turn, STILL - centre) + centre
    seen = torch.ones(FRAMES, 1, HEIGHT, WIDTH)
    seen[1:, :, :12, :16] = 0
    return MotionField.from_pixels(pixels, (seen,))


@pytest.fixture
def picture() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(1, 3, HEIGHT, WIDTH)


@pytest.fixture(params=["openexr", "ffmpeg"])
def package(request, monkeypatch) -> str:
    """With the extra exr, and as where it is not installed."""
    if request.param == "ffmpeg":
        monkeypatch.setattr(exr, "has_openexr", lambda: False)
        monkeypatch.setattr(write, "has_openexr", lambda: False)
    elif not exr.has_openexr():
        pytest.skip("the extra exr is not installed")
    return request.param


def inside(field: MotionField) -> torch.Tensor:
    return (field.grid.abs() < 1).all(-1)


def test_a_map_written_read_and_applied_is_the_warp(tmp_path, field, picture, package):
    write_passes(tmp_path, field)
    back = read_stmap(tmp_path)
    assert_close(back.warp(picture), field.warp(picture), atol=1e-5, rtol=0)
    seen = field.occlusion_mask(HEIGHT, WIDTH)[:, 0]
    ours = back.occlusion_mask(HEIGHT, WIDTH)[:, 0]
    assert_close(ours[inside(field)], seen[inside(field)], atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{"v": "down"}, {"format": "png16", "passes": ["stmap"]}])
def test_switches_are_read_from_the_sidecar(tmp_path, field, picture, options, package):
    write_passes(tmp_path, field, name="take_2", start=7, **options)
    path = next(tmp_path.glob("take_2*.0007.*"))
    if ".stmap" not in path.name and package == "ffmpeg":
        path = tmp_path / "take_2.stmap.0007.exr"
    back = read_stmap(path)  # one frame, its sidecar beside it
    inner = inside(field[:1])[0]
    atol = 1e-5 if path.suffix == ".exr" else 2e-3
    assert_close(
        back.warp(picture)[0][:, inner], field[:1].warp(picture)[0][:, inner], atol=atol, rtol=0
    )


def test_vectors_summed_over_frames_are_the_tracks(tmp_path, field, package):
    write_passes(tmp_path, field)
    points = torch.tensor([[27.0, 19.0], [33.0, 25.5], [24.25, 13.0]])
    place = tracks(field, points).track_path
    at = place[0]
    for i in range(FRAMES - 1):
        layer = "forward." if package == "ffmpeg" else ""
        planes = exr.read_exr(tmp_path / f"motion.{layer}{1001 + i}.exr")
        u, v = (planes[n] for n in (("R", "G") if layer else ("forward.u", "forward.v")))
        x, y = (cv2.remap(p, at[None, :, 0].numpy(), at[None, :, 1].numpy(), 1)[0] for p in (u, v))
        at = at + torch.from_numpy(np.stack([x, -y], axis=-1))  # v is up
        assert_close(at, place[i + 1], atol=0.1, rtol=0)


@with_openexr
def test_an_independent_reader_agrees(tmp_path, field, picture):
    import OpenEXR

    smooth = torch.nn.functional.avg_pool2d(picture, 9, 1, 4)
    write_passes(tmp_path, field, field.warp(smooth))
    file = OpenEXR.File(str(tmp_path / "motion.1002.exr"), separate_channels=True)
    parts = {part.name(): part for part in file.parts}
    assert set(parts) == {"beauty", "stmap", "forward", "backward", "occlusion"}
    assert parts["beauty"].header["colorInteropID"] == "lin_rec709_scene"
    assert {parts[n].header["colorInteropID"] for n in parts if n != "beauty"} == {"data"}
    planes = {n: c.pixels for part in parts.values() for n, c in part.channels.items()}
    x = planes["stmap.R"] * WIDTH - 0.5
    y = (1 - planes["stmap.G"]) * HEIGHT - 0.5
    theirs = cv2.remap(smooth[0].permute(1, 2, 0).numpy(), x, y, cv2.INTER_LINEAR)
    ours = field[1].warp(smooth)[0].permute(1, 2, 0).numpy()
    inner = inside(field)[1].numpy()
    assert np.abs(theirs - ours)[inner].max() < 4e-3  # OpenCV reads at 32nds of a pixel
    linear = np.stack([planes[c] for c in "RGB"], axis=-1)
    assert np.abs(maps.to_coded(torch.from_numpy(linear)).numpy() - ours).max() < 1e-5
    assert planes["stmap.R"].dtype == planes["forward.u"].dtype == np.float32
    assert planes["occlusion.A"][3, 3] == 1


def test_what_is_not_known_is_nothing_with_alpha_nothing(tmp_path, field, package):
    write_passes(tmp_path, field, one_file_a_pass=True)
    for name, number in (("backward", 1001), ("forward", 1000 + FRAMES)):
        planes = exr.read_exr(tmp_path / f"motion.{name}.{number}.exr")
        assert max(np.abs(plane).max() for plane in planes.values()) == 0
    planes = exr.read_exr(tmp_path / "motion.forward.1001.exr")
    u, known = (planes.get(n, planes.get(f"forward.{n}")) for n in ("u", "A"))
    u = planes["R"] if u is None else u
    assert 0.5 < known.mean() < 1 and np.abs(u[known == 0]).max() == 0


@with_openexr
def test_half_floats_hold_what_loses_nothing_in_them_and_never_maps_or_vectors(tmp_path):
    seen = torch.ones(1, 1, HEIGHT, WIDTH)
    seen[..., :8] = 0.25
    still = MotionField(identity_grid(HEIGHT, WIDTH)[None], (seen,))
    write_passes(tmp_path, still, mattes={"soft": torch.full((1, 4, 4), 0.3)})
    planes = exr.read_exr(tmp_path / "motion.1001.exr")
    assert planes["occlusion.A"].dtype == np.float16 and planes["occlusion.A"][0, 0] == 0.75
    assert {planes[n].dtype for n in ("stmap.R", "forward.u", "soft.A")} == {np.dtype(np.float32)}


def test_plates_mattes_and_pictures_with_alpha_are_passes(tmp_path, field, picture, package):
    frames = torch.cat(
        [picture.expand(FRAMES, -1, -1, -1), torch.rand(FRAMES, 1, HEIGHT, WIDTH)], 1
    )
    mattes = {"hair": torch.rand(FRAMES, 10, 14), "part_01": torch.ones(1, HEIGHT, WIDTH)}
    write_passes(tmp_path, field, frames, plate=picture, mattes=mattes, colour="srgb")
    about = json.loads((tmp_path / "motion.json").read_text())
    named = {c for channels in about["files"].values() for c in channels}
    assert named >= {"R", "A", "plate.R", "hair.A", "part_01.A", "stmap.A"}
    first = sorted(tmp_path.glob("motion*.1001.exr"))
    planes = {path.name: exr.read_exr(path) for path in first}
    beauty = planes["motion.beauty.1001.exr" if package == "ffmpeg" else "motion.1001.exr"]
    assert_close(torch.from_numpy(beauty["R"]), frames[0, 0] * frames[0, 3], atol=1e-6, rtol=0)


def test_png_pictures_are_coded_and_vectors_have_their_reach(tmp_path, field, picture):
    write_passes(tmp_path, field, picture.expand(FRAMES, -1, -1, -1), format="png16", reach=8.0)
    assert_close(read_picture(tmp_path / "motion.beauty.1002.png"), picture, atol=1e-4, rtol=0)
    pixels = cv2.imread(str(tmp_path / "motion.forward.1001.png"), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16 and pixels.shape[-1] == 4
    u = (pixels[20, 40, 2] / 65535 - 0.5) * 16  # OpenCV has blue first
    expected = tracks(field, torch.tensor([[40.0, 20.0]])).track_path[1, 0, 0] - 40
    assert abs(u - float(expected)) < 0.05


def test_the_sidecar_tells_size_rate_and_conventions(tmp_path, field):
    write_passes(tmp_path, field, fps=23.976, start=12, size=(80, 112), passes=["stmap"])
    about = json.loads((tmp_path / "motion.json").read_text())
    assert about["rate"] == "24000/1001" and (about["first"], about["last"]) == (12, 14)
    assert (about["width"], about["height"], about["v"]) == (112, 80, "up")
    assert read_stmap(tmp_path).size == (80, 112)


def test_batches_stream_and_give_the_same_files(tmp_path, field, picture):
    frames = picture.expand(FRAMES, -1, -1, -1)
    write_passes(tmp_path / "whole", field, frames)
    batches = (field[i] for i in (slice(0, 2), slice(2, 3)))
    write_passes(tmp_path / "batches", batches, iter([frames[:2], frames[2:]]))
    for path in (tmp_path / "whole").glob("*.exr"):
        assert path.read_bytes() == (tmp_path / "batches" / path.name).read_bytes()


def test_nothing_is_overwritten_unasked_and_nothing_old_sticks_out(tmp_path, field):
    write_passes(tmp_path, field)
    other = tmp_path / "motion.notes.txt"
    other.write_text("kept")
    with pytest.raises(
        InputError, match=r"already holds motion\.1001\.exr|already holds motion\.\w+"
    ):
        write_passes(tmp_path, field)
    write_passes(tmp_path, field[:2], name="other")
    written = write_passes(tmp_path, field[:2], overwrite=True)
    assert {p for p in tmp_path.glob("motion.*") if p != other} == set(written)


@pytest.mark.parametrize("package", ["openexr", "ffmpeg"], indirect=True)
def test_a_frame_that_failed_leaves_nothing_half_written(tmp_path, field, package, monkeypatch):
    def full(path: Path, *_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exr.os if hasattr(exr, "os") else Path, "replace", full, raising=False)
    with pytest.raises(MediaError, match="disk is full"):
        write_passes(tmp_path, field)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path, field):
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="is a file"):
        write_passes(tmp_path / "file", field)


def test_without_openexr_it_is_said_once(tmp_path, field, monkeypatch, caplog):
    monkeypatch.setattr(write, "has_openexr", lambda: False)
    monkeypatch.setattr(write, "_said", [])
    with caplog.at_level(logging.WARNING, logger="comfyui_motion"):
        write_passes(tmp_path / "a", field)
        write_passes(tmp_path / "b", field)
    assert len([r for r in caplog.records if "pip install OpenEXR" in r.getMessage()]) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"passes": ["depth"]}, "none of them"),
        ({"passes": ["plate"]}, "plate was asked for"),
        ({"passes": ["mattes"]}, "mattes was asked for"),
        ({"v": "left"}, "v must be"),
        ({"format": "png16"}, "reach"),
        ({"format": "jpg"}, "format must be"),
        ({"reach": 0.0}, "reach"),
        ({"name": "../up"}, "without folders"),
        ({"fps": 0}, "above 0"),
        ({"colour": "pink"}, "colour must be"),
        ({"mattes": {"stmap": torch.ones(1, 4, 4)}}, "not as a pass"),
        ({"mattes": {"hair": torch.ones(2, 4, 4)}}, "one for all"),
        ({"mattes": {"hair": torch.ones(3, 1, 4, 4)}}, "hair is 1 1 4 4"),
        ({"plate": torch.rand(3, 8, 8)}, "1 to 4 channels"),
        ({"frames": torch.full((3, 3, 8, 8), torch.nan)}, "no numbers"),
        ({"frames": torch.rand(2, 3, 8, 8)}, "fewer frames"),
        ({"frames": torch.rand(9, 3, 8, 8)}, "more frames"),
        ({"frames": "clip.mp4"}, "read_video"),
        ({"frames": ["clip.mp4"]}, "not str"),
        ({"plate": "plate.png"}, "read_picture"),
        ({"mattes": [torch.ones(1, 4, 4)]}, "by the names"),
        ({"passes": "stmap"}, "is a list"),
        ({"start": 1.5}, "first frame's number"),
        ({"fps": "film"}, "above 0"),
        ({"size": (10**7, 8)}, "height, width"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(tmp_path, field, options, said):
    with pytest.raises(InputError, match=said):
        write_passes(tmp_path, field, **options)


@pytest.mark.parametrize("field", [None, 5, torch.zeros(1, 4, 4, 2), [torch.zeros(4, 2)]])
def test_what_is_no_field_is_said_so(tmp_path, field):
    with pytest.raises(InputError, match=r"MotionField\(grid\) makes one"):
        write_passes(tmp_path, field)


# reading back what others wrote


def save_exr(path: Path, planes: dict[str, np.ndarray]) -> None:
    exr.write_exr(path, [exr.Layer(path.stem, planes)])


def identity(dtype: type = np.float32, height: int = 20, width: int = 30) -> dict[str, np.ndarray]:
    x = np.broadcast_to((np.arange(width) + 0.5) / width, (height, width))
    y = np.broadcast_to(1 - (np.arange(height)[:, None] + 0.5) / height, (height, width))
    return {"R": x.astype(dtype), "G": y.astype(dtype)}


@with_openexr
def test_maps_of_others_are_read_with_or_without_alpha_and_layers(tmp_path):
    save_exr(tmp_path / "a.exr", identity())
    assert (read_stmap(tmp_path / "a.exr").grid - identity_grid(20, 30)).abs().max() < 1e-6
    assert read_stmap(tmp_path / "a.exr").occlusion == ()
    planes = identity()
    save_exr(tmp_path / "b.exr", {"warp.R": planes["G"], "warp.G": planes["R"], "Z": planes["R"]})
    with pytest.raises(MediaError, match=r"holds Z, warp\.G, warp\.R|holds warp"):
        read_stmap(tmp_path / "b.exr")
    back = read_stmap(tmp_path / "b.exr", layer="warp", order="yx")
    assert (back.grid - identity_grid(20, 30)).abs().max() < 1e-6


@with_openexr
def test_a_map_for_a_source_of_another_size(tmp_path):
    save_exr(tmp_path / "a.exr", identity())
    picture = torch.rand(1, 3, 10, 15)
    moved = read_stmap(tmp_path / "a.exr", size=(10, 15)).grid
    assert_close((moved[0, 10, 15] + 1) / 2 * torch.tensor([14.0, 9.0]), torch.tensor([7.25, 4.75]))
    assert picture.shape[-1] == 15


@with_openexr
def test_maps_with_holes_hide_them_and_leave_no_holes(tmp_path):
    planes = identity()
    planes["R"][5:9, 5:9] = np.nan
    save_exr(tmp_path / "a.exr", planes)
    field = read_stmap(tmp_path / "a.exr")
    assert field.grid.isfinite().all()
    assert field.occlusion_mask(20, 30)[0, 0, 5:9, 5:9].min() == 1
    assert field.occlusion_mask(20, 30).sum() == 16


@with_openexr
def test_half_floats_are_refused_where_they_are_too_coarse(tmp_path):
    save_exr(tmp_path / "small.exr", identity(np.float16))
    assert (read_stmap(tmp_path / "small.exr").grid - identity_grid(20, 30)).abs().max() < 2e-3
    save_exr(tmp_path / "wide.exr", identity(np.float16, 4, 1100))
    with pytest.raises(MediaError, match="32-bit float"):
        read_stmap(tmp_path / "wide.exr")


def test_a_map_cut_off_is_refused(tmp_path, field, package):
    write_passes(tmp_path, field[:1], passes=["stmap", "occlusion"])
    path = next(tmp_path.glob("motion*.1001.exr"))
    whole = path.read_bytes()
    for kept in (4, 120, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:kept])
        with pytest.raises(MediaError, match="cut off|damaged|no EXR"):
            exr.read_exr(path)


@with_openexr
def test_named_layers_without_openexr_are_said_to_need_it(tmp_path, field, monkeypatch):
    write_passes(tmp_path, field[:1])
    monkeypatch.setattr(exr, "has_openexr", lambda: False)
    with pytest.raises(MediaError, match="pip install OpenEXR"):
        read_stmap(tmp_path)


def test_what_is_no_map_is_refused(tmp_path, field):
    with pytest.raises(MediaError, match="does not exist"):
        read_stmap(tmp_path / "a.exr")
    with pytest.raises(MediaError, match="no maps"):
        read_stmap(tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(MediaError, match="8 bits"):
        read_stmap(tmp_path / "a.png")
    (tmp_path / "b.exr").write_text("<html>")
    with pytest.raises(MediaError, match="no EXR"):
        read_stmap(tmp_path / "b.exr")
    write_passes(tmp_path, field, passes=["occlusion"])
    with pytest.raises(MediaError, match="no STMap"):
        read_stmap(tmp_path / "motion.json")


@pytest.mark.parametrize(
    "changed",
    [{"first": "a"}, {"last": 10**12}, {"files": ["a"]}, {"files": {"../%04d.exr": ["stmap.R"]}}],
)
def test_a_sidecar_that_was_damaged_is_one_sentence(tmp_path, field, changed):
    write_passes(tmp_path, field, passes=["stmap"])
    path = tmp_path / "motion.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(MediaError, match=r"name the maps themselves|Name the maps themselves"):
        read_stmap(path)
