"""The loop: one seed, one result; stopped and gone on, the same; what it leaves is a model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion import Keypoints, write_picture
from comfyui_motion.data.clips import Clips
from comfyui_motion.data.pairs import Pairs, Truth
from comfyui_motion.training.plot import read_log
from comfyui_motion.training.recipe import Recipe, recipe_of, size_of
from comfyui_motion.training.saved import read_content
from comfyui_motion.training.state import Run
from comfyui_motion.training.table import LOSSES, Loss
from comfyui_motion.training.trainer import (
    Progress,
    rate_at,
    set_dropout,
    train,
    without_vgg,
)

HOUR = {"width": 4, "limit": 8, "depth": 2}
BODY = {"width": 4, "limit": 8, "downs": 1, "residuals": 1}
SMALL = {
    "fomm": {"keypoints": 3, "jacobians": 3, "detector": HOUR, "dense": HOUR,
        "detector_scale": 0.5, "dense_scale": 0.5, "body": BODY, "head_padding": 3},
    "mraa": {
        "regions": 3, "detector": HOUR, "flow": HOUR, "detector_scale": 0.5, "flow_scale": 0.5,
        "background_encoder": HOUR, "body": BODY,
        "head_padding": 3, "avd": {"identity": 4, "pose": 4},
    },
    "tpsmm": {"splines": 2, "dense": HOUR, "dense_scale": 0.5, "inpainting": {"width": 4,
        "limit": 8, "depth": 3}, "avd": {"identity": 4, "pose": 4}},
    "copart": {"parts": 3, "affines": 3, "segmentation": HOUR, "segmentation_scale": 0.5,
        "body": BODY},
    "monkeynet": {"keypoints": 3, "detector": HOUR, "dense": HOUR, "generator": HOUR,
        "refinement": 1},
    "x2face": {"width": 4, "limit": 8, "levels": 5, "bottleneck": 8},
}  # fmt: skip
FRAMES, GAME, LEAST = (
    {"equivariance_frames": 1.0},
    {"adversarial": 1.0, "matching": 1.0},
    {"perceptual": 10.0, "equivariance": 1.0},
)
OWN = {
    "fomm": {**LEAST, **FRAMES, **GAME},
    "mraa": {**LEAST, **FRAMES},
    "tpsmm": {**LEAST, "warp": 1.0, "background": 1.0},
    "copart": {**LEAST, **FRAMES},
    "monkeynet": {"pyramid": 10.0, **GAME},
    "x2face": {"pyramid": 10.0},
}


@dataclass
class Squares:
    """A coloured square that moves over black, and what is true of it."""

    size: int = 32
    knows: bool = False
    points: int = 3

    def batch(self, step: int, count: int) -> Pairs:
        generator = torch.Generator().manual_seed(step)
        place = torch.randint(4, self.size - 12, (2, count, 2), generator=generator)
        colour = torch.rand(count, 3, 1, 1, generator=generator) * 0.7 + 0.3
        frames = torch.zeros(2, count, 3, self.size, self.size)
        for frame, places in zip(frames, place, strict=True):
            for picture, (x, y), tone in zip(frame, places.tolist(), colour, strict=True):
                picture[:, y : y + 8, x : x + 8] = tone
        return Pairs(frames[0], frames[1], self.truth(place) if self.knows else None)

    def truth(self, place: torch.Tensor) -> Truth:
        count, span = place.shape[1], self.size - 1
        source, driving = (2 * (p + 3.5) / span - 1 for p in place.float())
        still = motion.MotionField.identity(count, self.size, self.size).grid
        grid = still + (source - driving)[:, None, None]
        frame = torch.eye(2).expand(count, self.points, 2, 2)
        joints = [
            Keypoints(centre[:, None].expand(-1, self.points, -1), frame)
            for centre in (source, driving)
        ]
        visible = torch.ones(count, 1, self.size, self.size)
        visible[..., :4] = 0
        known, outside = torch.ones(count, self.points, dtype=torch.bool), 1 - visible
        return Truth(
            grid, visible, joints[0], joints[1], known, outside.expand(-1, 2, -1, -1), outside
        )


def recipe(family: str = "fomm", **changes: object) -> Recipe:
    content = {
        "family": family, "parameters": {**SMALL[family], "size": 32}, "steps": 4, "batch": 3,
        "lr": 1e-3, "save_every": 2, "log_every": 1,
        "losses": LEAST, "data": {"workers": 0},
    }  # fmt: skip
    return recipe_of({**content, **changes})


def log(folder: Path) -> str:
    return (folder / "log.csv").read_text()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return motion.load(folder / "model.safetensors", device="cpu").state_dict()


def alike(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return log(one) == log(other) and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("family", SMALL)
def test_every_family_learns_by_every_module_and_is_loaded_again(family, tmp_path):
    before = {}

    def first(progress: Progress) -> None:
        before.setdefault("losses", progress.losses)

    path = train(
        recipe(family, steps=2, ema=0.0, losses=OWN[family]),
        Squares(),
        tmp_path,
        device="cpu",
        progress=first,
    )
    assert all(torch.isfinite(torch.tensor(value)) for value in before["losses"].values())
    torch.manual_seed(0)
    untrained, trained = (
        motion.build(family, **recipe(family).parameters).state_dict(),
        motion.load(path, device="cpu").state_dict(),
    )
    same = [
        name
        for name in untrained
        if name.endswith("weight")
        and "down.weight" not in name
        and torch.equal(untrained[name], trained[name])
    ]
    assert [name for name in same if not name.startswith("avd_network")] == []
    assert {"log.csv", "losses.png", "model.safetensors", "sheet-2.png", "state.safetensors"} == {
        entry.name for entry in tmp_path.iterdir()
    }


def test_two_runs_of_one_seed_agree_and_of_two_differ(tmp_path):
    for name, seed, workers in (("a", 0, 0), ("b", 0, 2), ("c", 1, 0)):
        train(
            recipe(seed=seed, data={"workers": workers}), Squares(), tmp_path / name, device="cpu"
        )
    assert alike(tmp_path / "a", tmp_path / "b")
    assert log(tmp_path / "a") != log(tmp_path / "c")


def test_the_average_has_norms_of_its_own():
    run = Run.start(recipe(), motion.build("fomm", **recipe().parameters), torch.device("cpu"))
    run.step = 1000
    name = "generator.first.norm.running_mean"
    for value in (1.0, 3.0):
        run.model.get_buffer(name).fill_(value)
        run.average_in(0.75)
    assert run.average.get_buffer(name).allclose(torch.tensor(0.75 * 0.25 * 1 + 0.25 * 3))
    run.model.get_buffer("generator.first.norm.num_batches_tracked").fill_(7)
    run.average_in(0.75)
    assert run.average.get_buffer("generator.first.norm.num_batches_tracked") == 7


def stopped(at: int) -> Callable[[Progress], None]:
    """As a user stops it."""

    def stop(progress: Progress) -> None:
        if progress.step == at:
            raise KeyboardInterrupt

    return stop


def test_stopped_and_gone_on_is_the_same_run(tmp_path):
    """With a discriminator, several batches a step, and losses averaged over lines of the log."""
    plan = recipe(steps=5, log_every=2, accumulate=2, losses=OWN["fomm"])
    train(plan, Squares(), tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(plan, Squares(), tmp_path / "parts", device="cpu", progress=stopped(3))
    train(plan, Squares(), tmp_path / "parts", device="cpu")
    assert alike(tmp_path / "whole", tmp_path / "parts")


def test_dropped_splines_are_the_same_after_a_stop(tmp_path):
    dropout = {"first": 0.5, "last": 0.5, "ramp": 1, "until": 100}
    light = {**SMALL["tpsmm"], "background": False, "size": 32}
    plan = recipe(
        "tpsmm", parameters=light, steps=3, save_every=9, losses={"pyramid": 1.0}, dropout=dropout
    )
    train(plan, Squares(), tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(plan, Squares(), tmp_path / "parts", device="cpu", progress=stopped(1))
    train(plan, Squares(), tmp_path / "parts", device="cpu")
    assert log(tmp_path / "whole") == log(tmp_path / "parts")
    train(
        recipe("tpsmm", parameters=light, steps=3, save_every=9, losses={"pyramid": 1.0}),
        Squares(),
        tmp_path / "none",
        device="cpu",
    )
    assert log(tmp_path / "whole") != log(tmp_path / "none")


KILLED = """
import sys
sys.path.insert(0, {here!r})
from test_trainer import Squares, recipe, train
import torch
torch.set_num_threads(1)
told = lambda p: print(p.step, flush=True)
train(recipe(steps=400, save_every=3), Squares(), {folder!r}, device="cpu", progress=told)
"""


def kill(how: int, folder: Path) -> int:
    """Train in another process and kill it after seven steps; the step of the state it leaves."""
    script = KILLED.format(here=str(Path(__file__).parent), folder=str(folder))
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        while int(process.stdout.readline() or 99) < 7:
            pass
        process.send_signal(how)
        process.wait(timeout=60)
    assert process.returncode != 0
    return read_content(folder / "state.safetensors")["step"]


def test_a_run_goes_on_from_a_state_of_an_earlier_version(tmp_path):
    whole = train(recipe(steps=4, save_every=2), Squares(), tmp_path / "whole", device="cpu")

    def stop(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(steps=4, save_every=2), Squares(), tmp_path, device="cpu", progress=stop)
    written = tmp_path / "state.safetensors"
    torch.save(read_content(written), tmp_path / "state.pt")  # as it was written once
    written.unlink()
    again = train(recipe(steps=4, save_every=2), Squares(), tmp_path, device="cpu")
    assert not (tmp_path / "state.pt").exists() and written.exists()
    assert again.read_bytes() == whole.read_bytes()


def test_a_run_goes_on_where_pytorch_opens_no_pickle(tmp_path, monkeypatch):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(steps=2, save_every=1), Squares(), tmp_path, device="cpu", progress=stop)
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    train(recipe(steps=2, save_every=1), Squares(), tmp_path, device="cpu")
    assert read_content(tmp_path / "state.safetensors")["step"] == 2


def test_killed_and_gone_on_is_the_same_run(tmp_path):
    reached = kill(signal.SIGKILL, tmp_path / "killed")
    assert reached >= 6 and reached % 3 == 0  # as often as it is saved
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the run that was killed
    try:
        for name in ("killed", "whole"):
            with pytest.raises(KeyboardInterrupt):
                train(
                    recipe(steps=400, save_every=3),
                    Squares(),
                    tmp_path / name,
                    device="cpu",
                    progress=stopped(reached + 3),
                )
    finally:
        torch.set_num_threads(threads)
    assert alike(tmp_path / "killed", tmp_path / "whole")


def test_asked_to_end_it_leaves_the_step_it_was_at(tmp_path):
    reached = kill(signal.SIGTERM, tmp_path)
    assert reached >= 7
    assert motion.load(tmp_path / "model.safetensors", device="cpu").family == "fomm"


def test_two_epochs_learn_eight_clips_by_heart(tmp_path):
    """An epoch repeats its clips, as published ones do."""
    squares = Squares()
    (tmp_path / "train").mkdir()
    for i in range(8):
        pair = squares.batch(i, 1)
        write_picture(
            torch.cat([pair.source, pair.driving], dim=3), tmp_path / "train" / f"{i}.png"
        )
    clips = Clips(tmp_path, repeats=40)
    plan = recipe(
        "mraa",
        steps=0,
        epochs=2,
        batch=8,
        lr=3e-3,
        losses={"pyramid": 10.0},
        schedule="cosine",
        save_every=1000,
        sheet_every=1000,
    )
    train(plan, clips, tmp_path / "run", device="cpu", validation=clips)
    found = read_log(tmp_path / "run" / "log.csv")
    assert found["held_out_l1"][-1][1] < 0.02 < found["pyramid"][0][1]


def test_the_true_joints_supervise_and_teach(tmp_path):
    supervised = dict.fromkeys(
        ("joints", "heatmaps", "displacement", "frames", "follow", "flow", "occlusion"), 1.0
    )
    stages = [
        {
            "name": "detector",
            "trains": ["kp_detector"],
            "steps": 2,
            "losses": {name: 1.0 for name in supervised if name not in ("flow", "occlusion")},
        },
        {
            "name": "motion",
            "trains": ["generator"],
            "teacher": True,
            "steps": 1,
            "losses": {"flow": 1.0, "occlusion": 1.0, "pyramid": 1.0},
        },
        {"name": "all", "steps": 1, "losses": supervised, "rates": {"kp_detector": 0.5}},
    ]
    train(recipe(stages=stages), Squares(knows=True), tmp_path, device="cpu", validation=Squares())
    found = read_log(tmp_path / "log.csv")
    assert {*supervised, "held_out_l1", "held_out_over_copying"} <= found.keys()
    detector = [
        name
        for name in weights(tmp_path)
        if name.startswith("kp_detector.") and name.endswith("weight")
    ]
    assert detector


def test_frozen_modules_stay_as_they_are(tmp_path):
    train(
        recipe("mraa", losses={"avd": 1.0}, trains=["avd_network"], steps=2, ema=0.0),
        Squares(),
        tmp_path,
        device="cpu",
    )
    torch.manual_seed(0)
    untrained, trained = (
        motion.build("mraa", **recipe("mraa").parameters).state_dict(),
        weights(tmp_path),
    )
    changed = {
        name.split(".")[0] for name in untrained if not torch.equal(untrained[name], trained[name])
    }
    assert changed == {"avd_network"}


def test_a_settled_model_has_the_norms_of_its_own_features(tmp_path):
    """On the very batches they were measured on, a norm in use and one that measures agree."""
    train(recipe(steps=2, settle=3), Squares(), tmp_path, device="cpu")
    model = motion.load(tmp_path / "model.safetensors", device="cpu")
    norm = model.kp_detector.predictor.encoder.down_blocks[0].norm
    frames = [Squares().batch(step, 3) for step in range(2, 5)]
    seen = []
    norm.register_forward_hook(
        lambda _module, inputs, _output: seen.append(inputs[0].mean((0, 2, 3)))
    )
    for pairs in frames:
        model.detect(pairs.source)
        model.detect(pairs.driving)
    torch.testing.assert_close(norm.running_mean, torch.stack(seen).mean(0), rtol=1e-4, atol=1e-6)


def test_bfloat16_convolutions_come_near(tmp_path):
    ends = {}
    for precision in ("float32", "bfloat16"):
        train(
            recipe(precision=precision),
            Squares(),
            tmp_path / precision,
            device="cpu",
            progress=lambda p: ends.update({p.step: p.losses["pyramid"]}),
        )
    columns = [
        read_log(tmp_path / precision / "log.csv")["pyramid"]
        for precision in ("float32", "bfloat16")
    ]
    assert columns[0] != columns[1]
    assert columns[0][-1][1] == pytest.approx(columns[1][-1][1], rel=0.02)


def test_a_loss_that_is_no_number_stops_with_a_sentence(tmp_path, monkeypatch):
    train(recipe(steps=2), Squares(), tmp_path, device="cpu")
    wrong = Loss("no number", lambda attempt: attempt.prediction.mean() * float("nan"))
    monkeypatch.setitem(LOSSES, "equivariance", wrong)
    plan = recipe(steps=8)
    with pytest.raises(motion.TrainingError, match="equivariance became nan at step 1"):
        train(plan, Squares(), tmp_path / "other", device="cpu")
    assert motion.load(tmp_path / "model.safetensors").family == "fomm"


@pytest.mark.parametrize("longest", [0.0, 5.0])
def test_a_gradient_that_is_no_number_spoils_no_weight_and_no_file(tmp_path, monkeypatch, longest):
    tries = []

    def fine_at_first(attempt):
        loss = attempt.prediction.mean()
        tries.append(loss)
        if len(tries) == 3:
            loss.register_hook(lambda gradient: gradient * float("nan"))
        return loss

    monkeypatch.setitem(LOSSES, "equivariance", Loss("fine at first", fine_at_first))
    with pytest.raises(motion.TrainingError, match="gradient became nan at step 3"):
        train(recipe(steps=8, clip=longest, save_every=1), Squares(), tmp_path, device="cpu")
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path).values())


def test_what_does_not_fit_is_refused(tmp_path):
    for plan, pairs, sentence in (
        (
            recipe("tpsmm", losses={"equivariance_frames": 1.0}),
            Squares(),
            "keypoints without frames",
        ),
        (recipe(losses={"joints": 1.0}), Squares(), "only puppets bring"),
        (
            recipe(losses={"joints": 1.0}),
            Squares(knows=True, points=2),
            "2 joints and this fomm model 3",
        ),
        (recipe(trains=["nothing"]), Squares(), "names 'nothing'"),
        (
            replace(recipe(), stages=(replace(recipe().stages[0], steps=0, epochs=1),)),
            Squares(),
            "give it steps",
        ),
    ):
        with pytest.raises(motion.InputError, match=sentence):
            train(plan, pairs, tmp_path, device="cpu")
    train(recipe(steps=1), Squares(), tmp_path, device="cpu")
    with pytest.raises(motion.InputError, match="another recipe: seed"):
        train(recipe(steps=1, seed=3), Squares(), tmp_path, device="cpu")
    train(recipe(steps=1, seed=3), Squares(), tmp_path, device="cpu", resume=False)


def test_copart_starts_from_fomm(tmp_path):
    spec = {**SMALL["fomm"], "size": 32, "detector": HOUR}
    donor = motion.build("fomm", **spec)
    file = motion.save(donor, tmp_path / "fomm.safetensors")
    plan = recipe("copart", steps=1, start_from=str(file), lr=0.0, ema=0.0)
    train(plan, Squares(), tmp_path / "copart", device="cpu")
    ours = weights(tmp_path / "copart")
    assert torch.equal(ours["segmentation_module.shift.weight"], donor.kp_detector.kp.weight)
    assert torch.equal(
        ours["reconstruction_module.first.conv.weight"], donor.generator.first.conv.weight
    )


def test_a_model_goes_on_as_it_was_built(tmp_path):
    small = {**SMALL["mraa"], "size": 32}
    file = motion.save(
        motion.build("mraa", **small, temperature=0.2), tmp_path / "mraa.safetensors"
    )
    plan = recipe(
        "mraa",
        steps=1,
        parameters={"avd": {"identity": 6, "pose": 4}},
        start_from=str(file),
        losses={"avd": 1.0},
        trains=["avd_network"],
    )
    assert size_of(plan) == 32
    made = motion.load(train(plan, Squares(), tmp_path / "run", device="cpu"), device="cpu")
    assert made.spec.temperature == 0.2 and (made.spec.avd.identity, made.spec.detector.width) == (
        6,
        4,
    )
    before = motion.load(file, device="cpu").state_dict()
    assert torch.equal(
        made.state_dict()["generator.first.conv.weight"], before["generator.first.conv.weight"]
    )


def test_rates_and_dropout_follow_the_clock():
    stage = recipe(milestones=[2, 3], warmup=2, lr=1.0).stages[0]
    assert [round(rate_at(stage, time), 4) for time in range(4)] == [0.5, 1.0, 0.1, 0.01]
    cosine = recipe(schedule="cosine", decay=0.0, lr=1.0).stages[0]
    assert [round(rate_at(cosine, time), 4) for time in (0, 2)] == [1.0, 0.5]
    model = motion.build("tpsmm", **SMALL["tpsmm"])
    stage = recipe("tpsmm", dropout={"first": 0.1, "last": 0.3, "ramp": 10, "until": 35}).stages[0]
    chances = []
    for time in (0, 5, 20, 35):
        set_dropout(model, stage, time)
        chances.append(round(model.dense_motion_network.contribution_dropout, 4))
    assert chances == [0.1, 0.2, 0.3, 0.0]


def test_without_vgg_a_pyramid_judges():
    table = without_vgg(recipe(), False).stages[0].losses
    assert "perceptual" not in table and table["pyramid"] == table["gradient"] == 10.0
    assert without_vgg(recipe(), True).stages[0].losses["perceptual"] == 10.0
