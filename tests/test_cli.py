"""The command line: the main job, errors in one sentence, nothing half-written."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from comfyui_motion.cli import main
from comfyui_motion.cli.arguments import rate
from comfyui_motion.media.picture import write_picture
from comfyui_motion.media.video import read_video, write_video
from comfyui_motion.registry import build


@pytest.fixture
def media(tmp_path):
    """A textured picture and a clip of another sliding to the right, small."""
    torch.manual_seed(0)
    texture = torch.nn.functional.interpolate(
        torch.rand(1, 3, 12, 16), size=(72, 96), mode="bicubic"
    ).clamp(0, 1)
    write_picture(texture, tmp_path / "source.png")
    write_video(
        tmp_path / "driving.mp4", torch.cat([texture[..., 8 - i : 88 - i] for i in range(6)]), 12
    )
    return tmp_path


def run(*words) -> int:
    return main([str(word) for word in words])


def test_a_picture_moves_as_a_clip_moves(media, capsys):
    target = media / "out.mp4"
    also = ["--preview", media / "sheet.png", "--occlusion", media / "masks/%03d.png"]
    assert run("animate", media / "source.png", media / "driving.mp4", "-o", target, *also) == 0
    clip = read_video(target)
    assert (clip.width, clip.height, float(clip.fps), len(clip.frames())) == (96, 72, 12.0, 6)
    assert len(list((media / "masks").iterdir())) == 6
    assert (media / "sheet.png").exists()
    assert "6 frames of 96x72 at 12 a second" in capsys.readouterr().out


def test_frames_to_use_rate_and_model_size_can_be_chosen(media):
    target = media / "out.gif"
    chosen = ["--start", 1, "--stop", 4, "--fps", 10, "--mode", "absolute", "--batch", 2]
    assert run("animate", media / "source.png", media / "driving.mp4", "-o", target, *chosen) == 0
    clip = read_video(target)
    assert float(clip.fps) == 10 and len(clip.frames()) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["missing.png", "driving.mp4", "-o", "out.mp4"], "missing.png"),
        (["source.png", "source.txt", "-o", "out.mp4"], "source.txt"),
        (["source.png", "driving.mp4", "-o", "out.docx"], "out.docx"),
        (["source.png", "driving.mp4", "-o", "driving.mp4"], "name another target"),
        (["source.png", "driving.mp4", "-o", "out.mp4", "--model", "nothing.pth"], "nothing.pth"),
        (["source.png", "driving.mp4", "-o", "out.mp4", "--reference", "77"], "77"),
        (["source.png", "driving.mp4", "-o", "out.mp4", "--mode", "avd"], "avd"),
        (["source.png", "driving.mp4", "-o", "out.mp4", "--set", "colour=3"], "colour"),
        (["source.png", "driving.mp4", "-o", "out.mp4", "--device", "toaster"], "toaster"),
        (["source.png", "driving.mp4", "-o", "no/such/folder/out.mp4"], "folder"),
        (
            ["source.png", "driving.mp4", "-o", "out.mp4", "--preview", "no/such/sheet.png"],
            "folder",
        ),
        (["source.png", "driving.mp4", "-o", "out.mp4", "--strength", "nan"], "strength"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence_and_leaves_nothing(
    media, monkeypatch, capsys, words, says
):
    monkeypatch.chdir(media)
    Path("source.txt").write_text("not a clip")
    before = sorted(path.name for path in media.iterdir())
    assert run("animate", *words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("comfyui-motion: ") and says in said[0]
    assert sorted(path.name for path in media.iterdir()) == before


def test_ctrl_c_leaves_nothing_half_written(media, monkeypatch, capsys):
    def interrupted(self, done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr("comfyui_motion.cli.bar.Bar.__call__", interrupted)
    assert (
        run("animate", media / "source.png", media / "driving.mp4", "-o", media / "out.mp4") == 130
    )
    assert sorted(path.name for path in media.iterdir()) == ["driving.mp4", "source.png"]
    assert "stopped" in capsys.readouterr().err


def test_inspect_and_convert_tell_what_a_checkpoint_is(tmp_path, capsys):
    from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

    shape = HourglassShape(8, 32, 2)
    tensors = build(
        "fomm", keypoints=4, jacobians=4, detector=shape, dense=shape, body=BodyShape(8, 32, 2, 1)
    ).state_dict()
    torch.save(
        {
            "generator": {
                k.removeprefix("generator."): v
                for k, v in tensors.items()
                if k.startswith("generator.")
            },
            "kp_detector": {
                k.removeprefix("kp_detector."): v
                for k, v in tensors.items()
                if k.startswith("kp_detector.")
            },
        },
        tmp_path / "a.pth.tar",
    )
    assert run("inspect", tmp_path / "a.pth.tar", "--json") == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["keypoints"] == 4
    assert (
        run(
            "convert",
            tmp_path / "a.pth.tar",
            tmp_path / "a.safetensors",
            "--set",
            "align_corners=false",
        )
        == 0
    )
    assert "align_corners False (written in the file)" in capsys.readouterr().out
    assert (
        run(
            "convert",
            tmp_path / "a.pth.tar",
            tmp_path / "a.safetensors",
            "--set",
            "head_padding=wide",
        )
        == 2
    )


def test_models_lists_the_default_first_and_every_family(capsys):
    assert run("models") == 0
    said = capsys.readouterr().out
    assert said.startswith("flow: needs no weights")
    assert all(
        name in said
        for name in ("fomm-vox-256", "mraa-", "tpsmm-", "copart-", "monkeynet-", "x2face")
    )


def test_the_module_runs_as_a_command():
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys; from comfyui_motion.cli import main; sys.exit(main(['inspect',"
                " 'nothing.pth']))"
            ),
        ],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=120,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr and "nothing.pth" in done.stderr


@pytest.fixture
def copart(tmp_path):
    """An untrained co-part checkpoint, saved."""
    from safetensors.torch import save_file

    from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape
    from comfyui_motion.saving import metadata

    torch.manual_seed(0)
    model = build(
        "copart",
        parts=3,
        affines=3,
        segmentation=HourglassShape(8, 32, 2),
        body=BodyShape(8, 32, 2, 1),
        size=64,
    )
    save_file(
        model.state_dict(), tmp_path / "parts.safetensors", metadata=metadata("copart", model.spec)
    )
    return tmp_path / "parts.safetensors"


def test_parts_are_swapped_into_a_picture_and_into_a_clip(media, copart):
    words = [
        "swap",
        media / "source.png",
        media / "driving.mp4",
        "--model",
        copart,
        "--parts",
        "1-2",
    ]
    assert run(*words, "-o", media / "out.mp4") == 0
    clip = read_video(media / "out.mp4")
    assert (clip.width, clip.height, len(clip.frames())) == (80, 72, 6)
    assert (
        run(*words, "-o", media / "out.png", "--size", "model", "--hard", "--mask", "source") == 0
    )
    assert read_video(media / "out.png").frames().shape[-2:] == (64, 64)
    assert run(*words, "-o", media / "masked.png", "--mask", media / "source.png") == 0


@pytest.mark.parametrize(
    ("parts", "says"),
    [("7", "numbered 0"), ("one", "'one' is no such number"), ("", "at least one")],
)
def test_parts_that_are_not_there_are_refused_in_one_sentence(media, copart, capsys, parts, says):
    assert (
        run(
            "swap",
            media / "source.png",
            media / "driving.mp4",
            "--model",
            copart,
            "--parts",
            parts,
            "-o",
            media / "out.mp4",
        )
        == 2
    )
    assert says in capsys.readouterr().err and not (media / "out.mp4").exists()


def test_a_model_that_is_a_folder_of_files_is_no_folder_of_frames(tmp_path):
    from comfyui_motion.errors import InputError
    from comfyui_motion.media.places import check_places

    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "motion_extractor.pth").write_bytes(b"weights")
    check_places({"-o": str(tmp_path / "out.mp4")}, {"--model": str(folder)})
    with pytest.raises(InputError, match="also what is to be read"):
        check_places({"-o": str(folder / "motion_extractor.pth")}, {"--model": str(folder)})


@pytest.mark.parametrize(
    "given", [["--fps", "abc"], ["--fps", "1/0"], ["--crf", "low"], ["--nonsense"]]
)
def test_a_word_that_is_no_option_is_one_sentence(capsys, given):
    with pytest.raises(SystemExit) as ended:
        main(["animate", "picture.png", "clip.mp4", "-o", "out.mp4", *given])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and len(said.strip().splitlines()) == 1
    assert given[0] in said and "--help" in said


def test_a_rate_may_be_a_fraction():
    assert rate("24000/1001") == Fraction(24000, 1001) and rate("23.976") == 23.976
