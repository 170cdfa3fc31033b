"""Winograd's minimal filtering for 3x3 convolutions in float32 on a CPU: F(4x4, 3x3) (Lavin & Gray,
CVPR 2016).

    Y = A^T [ (G g G^T) * (B^T d B) ] A

Every 6x6 window of the picture becomes 36 numbers, multiplied position by position by the
transformed kernel (36 matrix products over channels), which give 4x4 pixels: 36 multiplications
where 144 were. The rest is additions, done a few rows at a time so that they stay in the cache. The
kernels take four times the memory. Its rounding is some ten times a plain convolution's: 1e-5 of
the result.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .fast import Conv

TILES = 512  # windows at a time
CHANNELS = 128  # with fewer the additions cost more than the multiplications saved
LEAST = 32  # the same for small maps: rows and columns

B_T = [
    [4.0, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
G = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1.0],
]
A_T = [[1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


class WinogradConv(Conv):
    """A 3x3 convolution that keeps the size. Maps it does not suit go the plain way."""

    # 36 C O; None where it does not pay: on another device, in another dtype
    kernels: Tensor | None = None

    @classmethod
    def of(cls, conv: Conv) -> WinogradConv:  # pyright: ignore[reportIncompatibleMethodOverride]
        return cls(conv.weight, conv.bias, conv.stride, conv.padding)

    def pack(self) -> None:
        if not self.takes(self):
            return super().pack()
        turn = torch.tensor(G, dtype=torch.float64)
        kernels = torch.einsum("ai,bj,ocij->abco", turn, turn, self.weight.double())
        self.kernels, self.into, self.back = (
            kernels.flatten(0, 1).float().contiguous(),
            torch.tensor(B_T),
            torch.tensor(A_T),
        )

    def unpack(self) -> None:
        super().unpack()
        self.kernels = None

    @staticmethod
    def takes(conv: Conv) -> bool:
        out, channels, rows, columns = conv.weight.shape
        same = (rows, columns, *conv.stride, *conv.padding, conv.groups) == (3, 3, 1, 1, 1, 1, 1)
        return (
            same
            and min(out, channels) >= CHANNELS
            and conv.weight.is_cpu
            and conv.weight.dtype == torch.float32
        )

    def forward(self, x: Tensor) -> Tensor:
        self.settle()
        height, width = x.shape[-2:]
        if self.kernels is None or height % 4 or width % 4 or min(height, width) < LEAST:
            return super().forward(x)
        return self.filter(x.float(), self.kernels)

    def filter(self, x: Tensor, kernels: Tensor) -> Tensor:
        """B C H W -> B O H W, channels_last"""
        batch, channels, height, width = x.shape
        out, down, across = kernels.shape[2], height // 4, width // 4
        rows = next(n for n in range(max(1, min(down, TILES // across)), 0, -1) if down % n == 0)
        padded = x.new_zeros(batch, height + 2, width + 2, channels)
        padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
        result = x.new_empty(batch, down, 4, across, 4, out)
        half, windows = (
            x.new_empty(6, rows, width + 2, channels),
            x.new_empty(6, 6, rows, across, channels),
        )
        products, folded = (
            x.new_empty(6, 6, rows, across, out),
            x.new_empty(4, 6, rows, across, out),
        )
        for picture, target in zip(padded, result, strict=True):
            for top in range(0, down, rows):
                for row in range(rows):  # down the columns, as one product of six rows with B^T
                    first = 4 * (top + row)
                    torch.mm(
                        self.into,
                        picture[first : first + 6].view(6, -1),
                        out=half[:, row].view(6, -1),
                    )
                for i in range(6):
                    _into([half[i, :, k : k + width - 3 : 4] for k in range(6)], windows[i])
                torch.bmm(windows.view(36, -1, channels), kernels, out=products.view(36, -1, out))
                if self.bias is not None:
                    products[1, 1] += self.bias  # the position that every output pixel holds once
                torch.mm(self.back, products.view(6, -1), out=folded.view(4, -1))
                for i in range(4):
                    _back(folded[i], [target[top : top + rows, i, :, j] for j in range(4)])
        return result.view(batch, height, width, out).permute(0, 3, 1, 2)


def _into(x: list[Tensor], out: Tensor) -> None:
    """B^T along a row, in the fewest additions."""
    a, b = torch.sub(x[4], x[2], alpha=4), torch.sub(x[3], x[1], alpha=4)
    torch.add(a, b, out=out[1])
    torch.sub(a, b, out=out[2])
    torch.sub(x[4], x[2], out=a)
    torch.sub(x[3], x[1], out=b)
    torch.add(a, b, alpha=2, out=out[3])
    torch.sub(a, b, alpha=2, out=out[4])
    torch.add(a, torch.sub(x[0], x[2], out=out[5]), alpha=4, out=out[0])
    torch.sub(torch.sub(x[5], x[3], out=a), b, alpha=4, out=out[5])


def _back(m: Tensor, out: list[Tensor]) -> None:
    """A^T along a row."""
    a, b, c, d = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    torch.add(m[0], a, out=out[0]).add_(c)
    torch.add(b, d, alpha=2, out=out[1])
    torch.add(a, c, alpha=4, out=out[2])
    torch.add(b, d, alpha=8, out=out[3]).add_(m[5])
