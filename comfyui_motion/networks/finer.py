"""A field and its occlusion at twice the size of the hourglass that found them.

Outlines decide what is hidden, and at a quarter of the picture's size they lie between pixels. The
maps that choose among motions are upsampled, and corrected by a few convolutions that see the
source there, as it is and as the coarse field moves it: joint upsampling (Kopf et al., 2007),
learned. Motions themselves are affine, so they need no upsampling: they are worked out anew.

What the subject is in the source (`figure`) tells both: where it goes, nothing behind it is seen;
where it was and is no more, the background is not known.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..field import resize, resize_grid, sample
from .crowding import claimed
from .figure import MAPS
from .layers.blocks import Onward, start_at


class Finer(nn.Module):
    """What to add to the upsampled logits of contributions and of visibility.

    Untrained, it adds nothing.
    """

    def __init__(self, features: int, motions: int, channels: int, width: int, depth: int) -> None:
        super().__init__()
        # the source where it is and where it goes, and where its subject alone goes
        seen = 2 * (channels + MAPS) + MAPS
        self.narrow = nn.Conv2d(features, width, 1)
        self.look = nn.Conv2d(width + seen + 2, width, 3, padding=1)
        self.look_on = nn.Sequential(*(Onward(width) for _ in range(depth)))
        self.mask = nn.Conv2d(width, motions, 3, padding=1)
        self.weigh = nn.Conv2d(width + seen + 5, width, 3, padding=1)
        self.weigh_on = nn.Sequential(*(Onward(width) for _ in range(depth)))
        self.judge = nn.Conv2d(width, 1, 3, padding=1)
        start_at(self.mask, [0.0] * motions)
        start_at(self.judge, [0.0])

    def contributions(
        self,
        features: Tensor,
        logits: Tensor,
        mask: Tensor,
        hidden: Tensor,
        grid: Tensor,
        motions: Tensor,
        source: Tensor,
        align_corners: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits at the source's size, and what was seen on the way to them: features, and where
        the subject alone goes.

        Features B F h w, contributions B K+1 h w and their logits, logits of visibility B 1 h w,
        field B h w 2, motions B K+1 h w 2, source and figure B C+2 H W -> B K+1 H W, B width H W, B
        2 H W
        """
        height, width = source.shape[-2:]
        dtype = self.look.weight.dtype
        with torch.no_grad():
            ahead = torch.einsum(
                "bkhw,bkhwc->bhwc", logits[:, 1:].float().softmax(1), motions[:, 1:]
            )
            near = torch.cat([mask[:, :1], hidden.float().sigmoid()], dim=1)
            grid, ahead = (
                resize_grid(places, height, width, align_corners=True) for places in (grid, ahead)
            )
        moved = sample(source, grid, align_corners)
        subject = sample(source[:, -MAPS:], ahead, align_corners)
        known = [
            resize(maps.to(dtype), height, width, align_corners=True)
            for maps in (self.narrow(features.to(dtype)), near)
        ]
        known += [maps.to(dtype) for maps in (moved, source.expand_as(moved), subject)]
        seen = self.look_on(F.relu(self.look(torch.cat(known, dim=1))))
        return (
            resize(logits.float(), height, width, align_corners=True) + self.mask(seen).float(),
            seen,
            subject,
        )

    def visibility(
        self,
        seen: Tensor,
        subject: Tensor,
        mask: Tensor,
        hidden: Tensor,
        grid: Tensor,
        source: Tensor,
        align_corners: bool,
    ) -> Tensor:
        """Its logits at the source's size, from who claims each place now.

        Contributions B K+1 H W, field B H W 2 -> B 1 H W
        """
        with torch.no_grad():
            moved = sample(source, grid, align_corners)
            claims = claimed(grid, 1 - mask[:, :1])
        known = [moved, source.expand_as(moved), subject, claims, mask[:, :1]]
        dtype = self.weigh.weight.dtype
        found = self.weigh(torch.cat([seen, *(maps.to(dtype) for maps in known)], dim=1))
        found = self.judge(self.weigh_on(F.relu(found)))
        return resize(hidden.float(), *source.shape[-2:], align_corners=True) + found.float()


def mixed(
    mask: Tensor, matrix: Tensor, source: Tensor, driving: Tensor, behind: Tensor, grid: Tensor
) -> Tensor:
    """sum_k M_k (source_k + matrix_k (z - driving_k)), the first M being the background's, which
    moves as `behind` says (MRAA, eq. 7).

    M B K+1 H W, matrix B K 2 2, points B K 2, behind B H W 2, z H W 2 -> B H W 2. No map of a
    single motion is made.
    """
    shift = source - torch.einsum("bkij,bkj->bki", matrix, driving)
    numbers = torch.cat([matrix.flatten(2), shift], dim=2)  # B K 6
    summed = torch.einsum("bkc,bkhw->bchw", numbers, mask[:, 1:])  # B 6 H W
    x, y = grid.unbind(-1)
    across = summed[:, 0] * x + summed[:, 1] * y + summed[:, 4]
    down = summed[:, 2] * x + summed[:, 3] * y + summed[:, 5]
    return torch.stack([across, down], dim=-1) + mask[:, 0, :, :, None] * behind
