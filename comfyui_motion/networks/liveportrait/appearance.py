"""F, the appearance: a picture as a volume, once a source."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from ..layers.blocks import Down, Same
from .blocks import Res3
from .parameters import Parameters


class Appearance(nn.Module):
    """B C H W -> B volume depth H/4 W/4"""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        widths = spec.appearance
        self.depth = spec.depth
        self.first = Same(spec.channels, widths[0], 3)
        self.down_blocks = nn.ModuleList(
            Down(a, b) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.second = nn.Conv2d(widths[-1], spec.volume * spec.depth, 1)
        self.resblocks_3d = nn.Sequential()
        for i in range(spec.residuals):
            self.resblocks_3d.add_module(f"3dr{i}", Res3(spec.volume))

    def forward(self, picture: Tensor) -> Tensor:
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        return self.resblocks_3d(
            rearrange(self.second(x), "b (c d) h w -> b c d h w", d=self.depth)
        )
