"""G, the picture: SPADE (Park et al., CVPR 2019). The warped features are both what is painted from
and what every normalisation is told.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parameters import Parameters
from .phases import FastSpade


class Spade(nn.Module):
    """instance norm(x) (1 + gamma) + beta, gamma and beta told by a map. SPADE, eq. 1"""

    def __init__(self, channels: int, told: int, hidden: int, times: int = 1) -> None:
        super().__init__()
        self.times = times  # how much larger x is than the map
        self.mlp_shared = nn.Sequential(nn.Conv2d(told, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        if self.times > 1:
            features = F.interpolate(features, scale_factor=self.times)
        hidden = self.mlp_shared(features)
        return modulated(x, self.mlp_gamma(hidden), self.mlp_beta(hidden))

    def faster(self, fast: Any) -> nn.Module:
        """As a model that only runs may compute it; `fast` is speed.fast."""
        return FastSpade(self, fast)


def modulated(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return torch.addcmul(beta, F.instance_norm(x.float()).to(beta.dtype), 1 + gamma)


class SpadeBlock(nn.Module):
    """shortcut(x) + conv(lrelu(norm(conv(lrelu(norm x)))))"""

    def __init__(self, into: int, out: int, told: int, hidden: int, times: int = 1) -> None:
        super().__init__()
        middle = min(into, out)
        self.conv_0 = nn.Conv2d(into, middle, 3, padding=1)
        self.conv_1 = nn.Conv2d(middle, out, 3, padding=1)
        self.norm_0 = Spade(into, told, hidden, times)
        self.norm_1 = Spade(middle, told, hidden, times)
        self.conv_s: nn.Module | None = None
        if into != out:
            self.conv_s = nn.Conv2d(into, out, 1, bias=False)
            self.norm_s = Spade(into, told, hidden, times)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        shortcut = x if self.conv_s is None else self.conv_s(self.norm_s(x, features))
        y = self.conv_0(F.leaky_relu(self.norm_0(x, features), 0.2))
        return shortcut + self.conv_1(F.leaky_relu(self.norm_1(y, features), 0.2))


class Paint(nn.Module):
    """B warped h w -> B C H W in 0..1, float32"""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        told, hidden, widths = spec.warped, spec.hidden, (spec.middle, *spec.painted)
        self.middles, self.doublings = spec.middles, len(spec.painted)
        self.fc = nn.Conv2d(told, spec.middle, 3, padding=1)
        for i in range(self.middles):
            self.add_module(f"G_middle_{i}", SpadeBlock(spec.middle, spec.middle, told, hidden))
        for i in range(self.doublings):
            times = 2 ** (i + 1)
            self.add_module(f"up_{i}", SpadeBlock(widths[i], widths[i + 1], told, hidden, times))
        last = nn.Conv2d(widths[-1], spec.channels * spec.shuffle**2, 3, padding=1)
        self.conv_img = (
            last if spec.shuffle == 1 else nn.Sequential(last, nn.PixelShuffle(spec.shuffle))
        )

    def forward(self, features: Tensor) -> Tensor:
        x = self.fc(features)
        for i in range(self.middles):
            x = self.get_submodule(f"G_middle_{i}")(x, features)
        for i in range(self.doublings):
            x = self.get_submodule(f"up_{i}")(F.interpolate(x, scale_factor=2), features)
        return torch.sigmoid(self.conv_img(F.leaky_relu(x, 0.2)).float())
