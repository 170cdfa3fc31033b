"""Networks without training that behave as trained ones do, and pictures for them: what speed and
error are measured with.

With untouched random weights maps die out or saturate, keypoints gather in the middle and nothing
is hidden; an error then shows nowhere.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model import MotionModel


def lively(model: MotionModel, seed: int = 0) -> MotionModel:
    """Weights and running statistics that keep every map alive and every head spread, so that
    errors mean something. In place, on the model's device.
    """
    random = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = model.head_gains.get(
                name.rpartition(".")[2],
                1.5 if isinstance(module, nn.Conv2d) and module.kernel_size == (7, 7) else 1.2,
            )
            # starts at the identity: stays near it
            resting = module.bias is not None and bool((module.bias == 1).any())
            spread = (0.05 if resting else gain) / module.weight[0].numel() ** 0.5
            module.weight.data.copy_(spread * torch.randn(module.weight.shape, generator=random))
            if module.bias is not None and not resting:
                module.bias.data.copy_(0.1 * torch.randn(module.bias.shape, generator=random))
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d | nn.InstanceNorm2d):
            module.weight.data.copy_(1 + 0.2 * torch.randn(module.weight.shape, generator=random))
            module.bias.data.copy_(0.3 * torch.randn(module.bias.shape, generator=random))
    _settle(model, random)
    return model.eval()


@torch.no_grad()
def _settle(model: MotionModel, random: torch.Generator) -> None:
    """Running statistics as they are for some pictures."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    frames = pictures(4, model.size, random).to(model.device)
    portrait = model.encode(frames)
    model.generate(portrait, model.motion(portrait, model.detect(frames.flip(0))))
    for norm in norms:
        norm.momentum = 0.1


def pictures(count: int, size: int, random: torch.Generator) -> Tensor:
    """Random pictures with detail at every scale. B 3 size size in 0..1"""
    total = torch.zeros(count, 3, size, size)
    side = 4
    while side <= size:
        noise = torch.randn(count, 3, side, side, generator=random)
        total += F.interpolate(noise, size=(size, size), mode="bilinear") * (4 / side) ** 0.5
        side *= 2
    return torch.sigmoid(total)


def clip(count: int, size: int, seed: int = 1) -> Tensor:
    """Frames of one subject drifting. B 3 size size"""
    random = torch.Generator().manual_seed(seed)
    start, end = pictures(2, size, random).split(1)
    t = torch.linspace(0, 1, count)[:, None, None, None]
    return torch.lerp(start, end, 0.6 * t)
