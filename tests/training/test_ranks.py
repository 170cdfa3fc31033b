"""Several processes that train one model: the curve of one process with the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from comfyui_motion import InputError
from comfyui_motion.cli import main
from comfyui_motion.data.pairs import Pairs
from comfyui_motion.data.puppets.clips import Puppets
from comfyui_motion.training.plot import read_log
from comfyui_motion.training.ranks import Ranks, Share, SharedBatchNorm2d, share_norms
from comfyui_motion.training.recipe import read_recipe
from comfyui_motion.training.trainer import train

ROOT = Path(__file__).parents[2]
RECIPE = """family = "fomm"
steps = 5
batch = 4
lr = 2e-3
log_every = 1
share_norms = true

[parameters]
keypoints = 3
jacobians = 3
detector = { width = 4, limit = 8, depth = 2 }
detector_scale = 0.5
dense = { width = 4, limit = 8, depth = 2 }
dense_scale = 0.5
body = { width = 4, limit = 8, downs = 1, residuals = 1 }
head_padding = 3
size = 32

[losses]
pyramid = 10
equivariance = 5
adversarial = 1
matching = 1
"""


INTERRUPTED = """
import os, signal, sys
from comfyui_motion.cli import main
from comfyui_motion.training import trainer

step = trainer.take_step

def interrupted(run, *rest):
    if run.step == 3 and run.ranks.leads:
        os.kill(os.getpid(), signal.SIGINT)  # to one of them: both are to stop after this step
    return step(run, *rest)

trainer.take_step = interrupted
sys.exit(main(sys.argv[1:]))
"""


def words(folder: Path, run: str) -> list[str]:
    said = ["train", str(folder / "recipe.toml"), "--data", "puppets", "--device", "cpu"]
    return [*said, "--threads", "1", "-o", str(folder / run)]


def stop(progress) -> None:
    if progress.step == 2:
        raise KeyboardInterrupt


def two_processes_until_they_are_interrupted(folder: Path, run: str) -> None:
    (folder / "interrupted.py").write_text(INTERRUPTED)
    start = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *start, str(folder / "interrupted.py"), *words(folder, run)]
    done = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert done.stdout.count("fomm, 5 steps") == 1, done.stderr  # one process tells


def test_a_run_goes_on_with_more_or_fewer_processes_and_has_the_curve_of_one(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    assert main(words(tmp_path, "one")) == 0
    recipe = read_recipe(str(tmp_path / "recipe.toml"))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, Puppets(32, 0), tmp_path / "several", device="cpu", progress=stop)
    two_processes_until_they_are_interrupted(tmp_path, "several")
    assert len(read_log(tmp_path / "several" / "log.csv")["discriminator"]) == 4
    assert main([*words(tmp_path, "several"), "--resume"]) == 0
    one, several = (read_log(tmp_path / run / "log.csv") for run in ("one", "several"))
    assert one.keys() == several.keys() and len(one["discriminator"]) == 5
    for name, curve in one.items():
        steps, values = zip(*curve, strict=True)
        other_steps, others = zip(*several[name], strict=True)
        assert steps == other_steps
        assert others == pytest.approx(values, rel=2e-3, abs=1e-4), name


def test_a_share_is_a_part_of_what_one_process_would_get():
    class Numbers:
        def batch(self, step, count):
            numbers = torch.arange(count)[:, None, None, None] + 100.0 * step
            return Pairs(numbers, -numbers)

    parts = [Share(Numbers(), Ranks(rank, 3)).batch(2, 6) for rank in range(3)]
    assert torch.cat([part.source for part in parts]).flatten().tolist() == [*range(200, 206)]
    with pytest.raises(InputError, match="4 pairs cannot be shared out among 3"):
        Ranks(0, 3).share(4)


def test_one_process_averages_with_nobody():
    alone = Ranks()
    assert alone.means({"a": 1.0}, torch.device("cpu")) == {"a": 1.0}
    assert alone.any(True, torch.device("cpu")) and alone.leads
    assert alone.together(nn.Linear(1, 1))(lambda: 3) == 3


def test_a_shared_norm_over_one_process_is_the_plain_one(tmp_path):
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    try:
        plain, shared = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        share_norms(shared)
        assert isinstance(shared, SharedBatchNorm2d)
        maps = torch.randn(4, 3, 5, 6)
        one, other = maps.clone().requires_grad_(), maps.clone().requires_grad_()
        (plain(one).square() * torch.linspace(0, 1, 6)).sum().backward()
        (shared(other).square() * torch.linspace(0, 1, 6)).sum().backward()
        torch.testing.assert_close(other.grad, one.grad, atol=1e-5, rtol=1e-4)
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(shared.state_dict()[name], value)
        torch.testing.assert_close(shared.eval()(maps), plain.eval()(maps))
    finally:
        torch.distributed.destroy_process_group()
