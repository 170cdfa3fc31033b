"""VGG-19 features for the perceptual loss (Johnson et al., 2016), from a file the user has:
torchvision's names, `features.N.weight`.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import InputError, read_tensors

# up to relu5_1; 0 halves the size
WIDTHS = (
    64,
    64,
    0,
    128,
    128,
    0,
    256,
    256,
    256,
    256,
    0,
    512,
    512,
    512,
    512,
    0,
    512,
)
TAPS = (1, 6, 11, 20, 29)  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 as torchvision numbers them
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALLEST = 16  # the least side that survives four halvings


class VGG19(nn.Module):
    """Pictures in 0..1 to the maps after the first ReLU of each block, at each size of
    a pyramid.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential()
        into = 3
        for width in WIDTHS:
            if width:
                self.features.append(nn.Conv2d(into, width, 3, padding=1))
                self.features.append(nn.ReLU())
                into = width
            else:
                self.features.append(nn.MaxPool2d(2))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer(
            "deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False
        )

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """At 1, 1/2, 1/4 and 1/8, as far as sides of 16 pixels are left."""
        maps = []
        for step in (1, 2, 4, 8):
            if min(pictures.shape[-2:]) >= SMALLEST * step or step == 1:
                maps += self._maps(shrunk(pictures, step))
        return maps

    def _maps(self, pictures: Tensor) -> list[Tensor]:
        x, maps = (pictures - self.mean) / self.deviation, []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in TAPS:
                maps.append(x)
        return maps


def shrunk(pictures: Tensor, step: int) -> Tensor:
    """Blurred, then every step-th pixel: sigma (step - 1) / 2, as the published networks shrink
    theirs.
    """
    if step == 1:
        return pictures
    sigma = (step - 1) / 2
    radius = round(4 * sigma)
    line = torch.exp(
        -(torch.arange(-radius, radius + 1, device=pictures.device) ** 2) / (2 * sigma**2)
    )
    line = (line / line.sum()).expand(pictures.shape[1], 1, -1)
    rows = F.conv2d(
        pictures, line[:, :, None], padding=(0, radius), stride=(1, step), groups=pictures.shape[1]
    )
    return F.conv2d(
        rows, line[..., None], padding=(radius, 0), stride=(step, 1), groups=pictures.shape[1]
    )


def load_vgg(path: str | Path) -> VGG19:
    """Frozen, ready to judge. Raises CheckpointError, InputError."""
    tensors = read_tensors(path)
    network = VGG19()
    wanted = network.state_dict()
    missing = [
        name
        for name, tensor in wanted.items()
        if name not in tensors or tensors[name].shape != tensor.shape
    ]
    if missing:
        raise InputError(
            f"{Path(path).name} is not VGG-19 as torchvision names it: {missing[0]} is missing or"
            " has another shape."
        )
    network.load_state_dict({name: tensors[name].float() for name in wanted})
    return network.eval().requires_grad_(False)
