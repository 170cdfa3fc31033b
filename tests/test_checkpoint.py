"""A file that is not what it says gets one sentence, and no code in it runs."""

import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import comfyui_motion as motion
from comfyui_motion.checkpoint import read

NETWORKS = {
    "generator": {"module.first.conv.weight": torch.rand(2, 3)},
    "kp_detector": {"kp.weight": torch.rand(4)},
}


def saved(path, content):
    torch.save(content, path)
    return path


def test_networks_are_flattened_and_what_only_training_needs_is_dropped(tmp_path):
    path = saved(
        tmp_path / "a.pth.tar",
        {
            **NETWORKS,
            "optimizer_generator": {"state": {0: torch.rand(3)}},
            "discriminator": {"w": torch.rand(1)},
            "epoch": 9,
        },
    )
    checkpoint = read(path)
    assert list(checkpoint.tensors) == ["generator.first.conv.weight", "kp_detector.kp.weight"]
    assert checkpoint.dropped == ("optimizer_generator", "discriminator", "epoch")


@pytest.mark.parametrize("legacy", [False, True])
def test_old_and_new_formats_read_the_same(tmp_path, legacy):
    path = tmp_path / "a.pth"
    torch.save(NETWORKS, path, _use_new_zipfile_serialization=not legacy)
    assert torch.equal(
        read(path).tensors["kp_detector.kp.weight"], NETWORKS["kp_detector"]["kp.weight"]
    )


def test_safetensors_read_with_their_metadata(tmp_path):
    save_file(
        {"generator.module.first.conv.weight": torch.rand(2), "optimizer.x": torch.rand(1)},
        tmp_path / "a.safetensors",
        metadata={"a": "b"},
    )
    checkpoint = read(tmp_path / "a.safetensors")
    assert list(checkpoint.tensors) == ["generator.first.conv.weight"]
    assert checkpoint.metadata == {"a": "b"} and checkpoint.dropped == ("optimizer",)


def test_numpy_numbers_in_the_training_state_do_no_harm(tmp_path):
    path = saved(
        tmp_path / "a.pth",
        {**NETWORKS, "epoch": np.float64(3.5), "scheduler_g": {"milestones": np.int64(60)}},
    )
    assert len(read(path).tensors) == 2


class Ran:
    """A pickle that would make a folder when opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["new", "legacy", "plain"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, kind):
    path, evidence = tmp_path / "evil.pth.tar", tmp_path / "it-ran"
    content = {**NETWORKS, "epoch": Ran(evidence)}
    if kind == "plain":
        path.write_bytes(pickle.dumps(content["epoch"]))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "new")
    with pytest.raises(motion.CheckpointError) as refusal:
        read(path)
    assert not evidence.exists()
    if kind != "plain":
        assert isinstance(refusal.value, motion.UnsafeCheckpoint) and "mkdir" in str(refusal.value)


def whole_checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save(NETWORKS, buffer)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("vox-cpk.pth"), io.BytesIO())
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights/vox-cpk.pth.tar", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>",
            "is a web page.*download it again",
        ),
        (b"\n  <HTML><body>Sign in</body></HTML>", "is a web page"),
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1", "Git LFS pointer"),
        (b"Not found. Try again later.", "is a text file"),
        (b"\x1f\x8b\x08\x00abcdef", "gzip archive"),
        (b"Rar!\x1a\x07\x00abcdef", "RAR archive"),
        (whole_checkpoint()[:-400], "was cut short.*download it again"),
        (whole_checkpoint()[:200], "was cut short"),
        (tarred(), "is a tar archive"),
        (zipped(), "is a zip archive.*weights/vox-cpk.pth.tar"),
        (b"\x80\x02}q\x00(X\x01", "damaged|not a checkpoint that PyTorch wrote"),
        (bytes(range(128, 256)) * 8, "damaged|not a checkpoint that PyTorch wrote"),
        (
            (40).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "sha',
            "safetensors file that is damaged or was cut short",
        ),
    ],
    ids=[
        "quota page",
        "login page",
        "empty",
        "lfs",
        "text",
        "gzip",
        "rar",
        "truncated",
        "stub",
        "tar",
        "zip",
        "cut pickle",
        "noise",
        "cut safetensors",
    ],
)
def test_what_is_no_checkpoint_gets_one_sentence(tmp_path, content, says):
    path = tmp_path / "vox-cpk.pth.tar"
    path.write_bytes(content)
    with pytest.raises(motion.CheckpointError, match=says) as refusal:
        motion.load(path)
    assert "\n" not in str(refusal.value) and str(refusal.value).startswith("vox-cpk.pth.tar")


def test_an_unpacked_checkpoint_opens_as_if_it_were_not(tmp_path):
    with zipfile.ZipFile(io.BytesIO(whole_checkpoint())) as archive:
        archive.extractall(tmp_path / "vox-cpk")
    (tmp_path / "vox-cpk.pth").write_bytes(whole_checkpoint())
    packed = motion.read_tensors(tmp_path / "vox-cpk.pth")
    found = motion.read_tensors(tmp_path / "vox-cpk")
    assert found.keys() == packed.keys() and all(found[k].equal(packed[k]) for k in packed)
    (tmp_path / "empty").mkdir()
    with pytest.raises(motion.CheckpointError, match="is a folder"):
        motion.load(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            {"optimizer_generator": {"state": {0: torch.rand(2)}}, "epoch": 3},
            "only what training needs .optimizer_generator, epoch.*no network",
        ),
        ({"epoch": 3}, "only what training needs"),
        ({}, "no tensors"),
        ([torch.rand(2)], "holds a list"),
        ({"resnet": {"fc.weight": torch.rand(2)}}, "not a checkpoint I know.*resnet.fc.weight"),
    ],
    ids=["optimizer only", "epoch only", "nothing", "a list", "another network"],
)
def test_a_sound_file_without_a_known_network_says_what_it_holds(tmp_path, content, says):
    with pytest.raises(motion.CheckpointError, match=says):
        motion.load(saved(tmp_path / "a.pth.tar", content))


def test_a_scripted_program_is_refused(tmp_path):
    import torch.jit

    with pytest.warns((DeprecationWarning, FutureWarning)):  # the latter from PyTorch 2.15 on
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(tmp_path / "a.pt"))
    with pytest.raises(motion.CheckpointError, match="TorchScript program"):
        motion.load(tmp_path / "a.pt")


def test_a_missing_file_says_how_to_list_what_is_there(tmp_path):
    with pytest.raises(
        motion.CheckpointError, match="There is no file .*nothing-here.pth.*comfyui-motion models"
    ):
        motion.load(tmp_path / "nothing-here.pth")
