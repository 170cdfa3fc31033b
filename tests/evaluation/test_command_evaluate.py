"""comfyui-motion evaluate: what --data may name, the user's own functions, what is written, errors
in one sentence.
"""

import json
import sys

import pytest
import torch

from comfyui_motion import InputError, build, save
from comfyui_motion.cli import main
from comfyui_motion.cli.evaluate import load_all, named_function
from comfyui_motion.data.clips import Clips
from comfyui_motion.evaluation.clips import OneClip, PuppetClips, open_data
from comfyui_motion.evaluation.report import Report
from comfyui_motion.media.picture import write_picture
from comfyui_motion.media.video import write_video


def strip(path, frames: int = 4, side: int = 32) -> None:
    """A strip of a texture sliding to the right."""
    torch.manual_seed(0)
    texture = torch.nn.functional.interpolate(
        torch.rand(1, 3, 8, 12), size=(side, side + frames), mode="bicubic"
    ).clamp(0, 1)
    write_picture(
        torch.cat([texture[..., frames - i : frames - i + side] for i in range(frames)], dim=-1),
        path,
    )


@pytest.fixture
def data(tmp_path):
    """Two strips, a film that is none, and a text."""
    folder = tmp_path / "data"
    folder.mkdir()
    strip(folder / "0.png")
    strip(folder / "1.png")
    (folder / "2.mp4").write_bytes(b"no film at all")
    (folder / "list.txt").write_text("nothing")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained model, small, in a file."""
    from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

    torch.manual_seed(0)
    shape = HourglassShape(8, 32, 2)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save(
        build(
            "fomm",
            keypoints=4,
            jacobians=4,
            detector=shape,
            dense=shape,
            body=BodyShape(8, 32, 2, 1),
            size=32,
        ),
        path,
    )
    return path


def run(*words) -> int:
    return main([str(word) for word in ("evaluate", *words)])


def test_a_model_is_scored_on_a_folder_and_what_was_found_is_written(data, model, tmp_path, capsys):
    assert run(model, "--data", data, "--out", tmp_path / "out", "--device", "cpu") == 0
    said = capsys.readouterr().out
    assert "tiny: reconstruction at 32x32, 2 clips, 8 frames" in said and "of copying" in said
    assert "1 clip left out, the first 2.mp4" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "tiny.json",
        "tiny.png",
        "tiny.txt",
    ]
    report = Report.from_json((tmp_path / "out" / "tiny.json").read_text())
    assert [scores.name for scores in report.clips] == ["0.png", "1.png"]
    assert report.table() in (tmp_path / "out" / "tiny.txt").read_text()


def test_models_are_put_side_by_side_at_one_size(data, model, tmp_path, capsys):
    assert (
        run(
            model,
            model,
            "--data",
            data / "0.png",
            "--out",
            tmp_path / "out",
            "--frames",
            2,
            "--device",
            "cpu",
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "tiny, all" in said and "tiny-2, all" in said
    assert {json.loads(path.read_text())["size"] for path in (tmp_path / "out").glob("*.json")} == {
        32
    }


def test_puppets_score_what_only_they_know(model, tmp_path, capsys):
    words = [
        "--data",
        "puppets",
        "--clips",
        3,
        "--frames",
        2,
        "--kinds",
        "face,shape",
        "--out",
        tmp_path / "out",
        "--device",
        "cpu",
    ]
    assert run(model, *words) == 0
    report = Report.from_json((tmp_path / "out" / "tiny.json").read_text())
    assert [scores.name for scores in report.clips] == [
        "face 1000000",
        "shape 1000001",
        "face 1000002",
    ]
    assert [scores.name for scores in report.groups] == ["all face", "all shape"]
    assert {"l1", "l1_over_copying", "flow", "moved", "occlusion_iou"} <= set(report.total.values)
    assert "flow px" in capsys.readouterr().out


def test_animation_takes_its_pairs_from_a_list(data, model, tmp_path):
    (tmp_path / "pairs.csv").write_text("source,driving\n1,0.png\n")
    assert (
        run(
            model,
            "--data",
            data,
            "--mode",
            "animation",
            "--pairs",
            tmp_path / "pairs.csv",
            "--out",
            tmp_path / "out",
            "--device",
            "cpu",
        )
        == 0
    )
    report = Report.from_json((tmp_path / "out" / "tiny.json").read_text())
    assert [scores.name for scores in report.clips] == ["1.png moved by 0.png"]


def test_detectors_and_embedders_come_from_modules_of_the_user(data, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (tmp_path / "mine_to_find.py").write_text(
        "import torch\ndef find(frames):\n    return torch.full((len(frames), 2, 2), 3.0)\ndef"
        " know(frames):\n    return frames.mean((2, 3))\n"
    )
    before = list(sys.path)
    words = ["--detector", "mine_to_find:find", "--embedder", "mine_to_find:know"]
    assert run(model, "--data", data / "0.png", *words, "--out", "out", "--device", "cpu") == 0
    values = json.loads((tmp_path / "out" / "tiny.json").read_text())["total"]["values"]
    assert values["akd"] == 0 and values["mkr"] == 0 and values["aed"] >= 0
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("landmarks", "module:function"),
        (":find", "module:function"),
        ("no_such_module:find", "no_such_module"),
        ("math:nothing", "nothing"),
        ("math:pi", "float"),
    ],
)
def test_what_is_no_function_is_refused(text, says):
    with pytest.raises(InputError, match=says):
        named_function(text, "detector")


def test_a_module_that_fails_is_said_to_have_failed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fails_on_loading.py").write_text("1 / 0\n")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        named_function("fails_on_loading:find", "detector")


def test_data_is_a_folder_of_clips_its_test_half_or_one_clip(data, tmp_path):
    assert isinstance(open_data(str(data), 32, 1, 2, ()), Clips)
    assert isinstance(open_data(str(data / "0.png"), 32, 1, 2, ()), OneClip)
    halves = tmp_path / "halves"
    for half in ("train", "test"):
        (halves / half).mkdir(parents=True)
        strip(halves / half / f"{half}.png")
    assert open_data(str(halves), 32, 1, 2, ()).names == ["test.png"]


@pytest.mark.parametrize("kind", ["strip.png", "film.gif", "frames"])
def test_one_clip_may_be_a_strip_a_film_or_a_folder_of_frames(kind, tmp_path):
    frames = torch.rand(3, 3, 16, 20 if kind == "frames" else 16)
    path = tmp_path / kind
    if kind == "strip.png":
        write_picture(torch.cat(list(frames), dim=-1)[None], path)
    else:
        write_video(f"{path}/" if kind == "frames" else path, frames, 10)
    video = open_data(str(path), 16, 1, 2, ()).video(0)
    assert sum(len(batch) for batch in ([video] if isinstance(video, torch.Tensor) else video)) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data", "nothing"], "nothing"),
        (["--data", "empty"], "holds no video"),
        (["--data", "puppets", "--kinds", "robot"], "robot"),
        (["--data", "puppets", "--frames", "1"], "2 frames or more"),
        (["--data", "puppets", "--clips", "0"], "1 clip or more"),
        (["--data", "data", "--mode", "animation", "--pairs", "none.csv"], "none.csv"),
        (["--data", "data/0.png", "--mode", "animation"], "one clip"),
        (["--data", "data", "--detector", "landmarks"], "module:function"),
        (["--data", "data", "--limit", "0"], "limit"),
        (["--data", "data", "--out", "data/0.png"], "a folder to write into"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    data, model, tmp_path, monkeypatch, capsys, words, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert run(model, *words, "--device", "cpu") == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("comfyui-motion: ") and says in said[0]
    assert not list(tmp_path.glob("evaluation/*"))


def test_puppets_are_the_same_every_time_and_their_truth_is_theirs():
    clips, again = PuppetClips(2, 3, 32), PuppetClips(4, 3, 32)
    assert torch.equal(clips.video(1), again.video(1)) and torch.equal(
        clips.truth(1).frames, clips.video(1)
    )
    assert clips.names == again.names[:2] == ["face 1000000", "figure 1000001"]


def test_models_of_one_name_are_told_apart():
    assert list(
        load_all(["a/vox.pth.tar", "b/vox.safetensors", "flow", "vox"], lambda path: path)
    ) == ["vox", "vox-2", "flow", "vox-3"]
