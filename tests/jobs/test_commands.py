"""comfyui-motion batch and submit: the same bytes as one animation at a time."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from comfyui_motion.cli import main
from comfyui_motion.media.picture import write_picture
from comfyui_motion.media.video import write_video


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two pictures and a clip, small, and what animate makes of them."""
    folder = tmp_path_factory.mktemp("drawn")
    torch.manual_seed(0)
    for name in "ab":
        texture = torch.rand(1, 3, 9, 12)
        texture = torch.nn.functional.interpolate(texture, size=(64, 80), mode="bicubic")
        write_picture(texture.clamp(0, 1), folder / f"{name}.png")
    frames = torch.cat([texture[..., 6 - i : 70 - i].clamp(0, 1) for i in range(3)])
    write_video(folder / "clip.mp4", frames, 12)
    return folder


@pytest.fixture(scope="module")
def alone(drawn):
    """One animation at a time, each made by one thread: their bytes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    shared = [drawn / "clip.mp4", "--model", "flow", "--device", "cpu", "-o"]
    options = ["--strength", 0.5, "--no-adapt-scale"]
    made = drawn / "one.gif", drawn / "two.gif"
    assert run("animate", drawn / "a.png", *shared, made[0], *options) == 0
    assert run("animate", drawn / "b.png", *shared, made[1]) == 0
    torch.set_num_threads(threads)
    return [path.read_bytes() for path in made]


@pytest.fixture
def media(drawn, tmp_path):
    for name in ("a.png", "b.png", "clip.mp4"):
        shutil.copy(drawn / name, tmp_path)
    return tmp_path


def run(*words) -> int:
    return main([str(word) for word in words])


HEAD = "source,driving,output,strength,adapt-scale,model\n"


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_a_batch_gives_the_bytes_of_one_animation_at_a_time_and_tells_what_failed(
    media, alone, capsys, monkeypatch, engine
):
    if engine == "ray":
        pytest.importorskip("ray")
        monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    (media / "bad.png").write_bytes(b"no picture")
    rows = (
        "a.png,clip.mp4,one.gif,0.5,false,flow\n"
        "b.png,clip.mp4,two.gif,,,flow\n"
        "bad.png,clip.mp4,,,,flow\n"
    )
    (media / "jobs.csv").write_text(HEAD + rows)
    words = ["batch", media / "jobs.csv", "-o", media / "out", "--workers", 2, "--threads", 1]
    assert run(*words, "--device", "cpu", "--engine", engine) == 2
    told = capsys.readouterr()
    assert "2 of 3 jobs done, 1 failed" in told.out and "row 4: " in told.err
    made = media / "out" / "one.gif", media / "out" / "two.gif"
    assert [path.read_bytes() for path in made] == alone
    assert len(list((media / "out" / "sheets").glob("*.png"))) == 2
    assert (media / "out" / "report.html").exists()


def test_every_wrong_row_is_told_before_any_work(media, capsys):
    rows = "a.png,gone.gif,,,,\na.png,clip.mp4,,much,,\n,clip.mp4,,,,\na.png,clip.mp4,,,maybe,\n"
    (media / "jobs.csv").write_text(HEAD + rows)
    assert run("batch", media / "jobs.csv", "-o", media / "out") == 2
    said = capsys.readouterr().err
    for told in ("4 of 4 rows", "gone.gif does not exist", "'much'", "no source", "true or false"):
        assert told in said
    assert not (media / "out").exists()


def test_no_job_of_a_table_may_write_over_a_picture_of_it(media, capsys):
    (media / "jobs.csv").write_text(HEAD + "a.png,clip.mp4,a.png,,,\n")
    assert run("batch", media / "jobs.csv", "-o", media) == 2
    assert "would write" in capsys.readouterr().err


@pytest.mark.parametrize("row", [{"output": "../b.mp4"}, {"preview": "/b.png"}, {"occlusion": "."}])
def test_no_job_of_a_table_may_write_elsewhere(media, capsys, row):
    told = {"source": "a.png", "driving": "clip.mp4", **row}
    (media / "jobs.jsonl").write_text(json.dumps(told))
    assert run("batch", media / "jobs.jsonl", "-o", media / "out") == 2
    assert "within" in capsys.readouterr().err


def test_submit_tells_of_a_server_that_does_not_answer(media, capsys):
    (media / "w.json").write_text('{"1": {"class_type": "LoadImage", "inputs": {"image": "x"}}}')
    (media / "jobs.csv").write_text("1.image\na.png\n")
    words = ["submit", media / "w.json", media / "jobs.csv", "-o", media / "out"]
    assert run(*words, "--server", "http://127.0.0.1:9") == 2
    assert "No server answers" in capsys.readouterr().err
