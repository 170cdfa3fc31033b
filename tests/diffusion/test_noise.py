"""Warped noise is white noise, whatever the field; and it moves with it."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from comfyui_motion import InputError, MotionField, warp_noise
from comfyui_motion.diffusion.noise import FieldNoise, SourceNoise
from comfyui_motion.field import identity_grid

SEEDS = 64
CHANNELS, HEIGHT, WIDTH = 4, 32, 48
PIXELS = MotionField.identity(1, HEIGHT, WIDTH).to_pixels(HEIGHT, WIDTH)


def turned(degrees: float) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    return torch.stack(
        [torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])]
    )


def folded(waves: float) -> Tensor:
    x, y = identity_grid(24, 40).unbind(-1)
    return torch.stack([x + 0.4 * (waves * x).sin(), y + 0.3 * (waves * y + x).cos()], dim=-1)


def cut() -> MotionField:
    """A rectangle hidden, its edges through pixels, on a wobble."""
    visible = torch.ones(1, 1, 2 * HEIGHT, 2 * WIDTH)
    visible[..., 21:43, 33:61] = 0
    return MotionField(0.7 * identity_grid(HEIGHT, WIDTH)[None] + 0.1, (visible,))


GRID = identity_grid(HEIGHT, WIDTH)
FIELDS = {
    "identity": MotionField.identity(1, 20, 30),
    "whole pixels": MotionField.from_pixels(PIXELS + torch.tensor([5.0, -3.0])),
    "parts of pixels": MotionField.from_pixels(PIXELS + torch.tensor([0.37, 1.61])),
    "turned": MotionField((GRID @ turned(30))[None]),
    "near": MotionField(GRID[None] / 3),
    "far": MotionField(GRID[None] * 2.5),
    "folds": MotionField(folded(6)[None]),
    "one spot": MotionField(torch.full((1, 4, 4, 2), 0.1)),
    "outside": MotionField(GRID[None] + 9),
    "hidden": cut(),
}


def many(field: MotionField, degradation: float = 0.0) -> Tensor:
    """The noise of many seeds. S C H W"""
    return torch.cat(
        [warp_noise(field, CHANNELS, HEIGHT, WIDTH, seed, degradation) for seed in range(SEEDS)]
    )


def deviation(values: Tensor, spread: float) -> float:
    """How many sigma the mean of independent values of mean 0 and that spread lies from 0."""
    return float(values.double().mean() / spread * values.numel() ** 0.5)


def deviations(noise: Tensor) -> dict[str, float]:
    """Of all that tells white Gaussian noise from other noise, in sigma."""
    found = {
        "mean": deviation(noise, 1),
        "variance": deviation(noise.square() - 1, 2**0.5),
        "kurtosis": deviation(noise.double() ** 4 - 3, 96**0.5),
    }
    found |= lags(noise)
    for one, other in combinations(range(CHANNELS), 2):
        found[f"channels {one} {other}"] = deviation(noise[:, one] * noise[:, other], 1)
    return found | rings(noise)


def lags(noise: Tensor, reach: int = 4) -> dict[str, float]:
    """How far pixels so many rows and columns apart go together, in sigma."""
    padded = torch.nn.functional.pad(noise, (0, reach, 0, reach))
    power = torch.fft.rfft2(padded).abs().square().sum((0, 1)).double()
    product = torch.fft.irfft2(power, s=padded.shape[-2:])
    found = {}
    for down in range(reach + 1):
        for across in range(-reach, reach + 1):
            if (down, across) > (0, 0):
                pairs = noise[..., down:, abs(across) :].numel()
                found[f"lag {across} {down}"] = float(product[down, across]) / pairs**0.5
    return found


def rings(noise: Tensor, count: int = 16) -> dict[str, float]:
    """The power of each ring of the spectrum against white's, in sigma."""
    power = torch.fft.rfft2(noise, norm="ortho").abs().square()[..., 1 : WIDTH // 2]
    rows = torch.fft.fftfreq(HEIGHT)[:, None]
    radius = (rows.square() + torch.fft.rfftfreq(WIDTH)[1 : WIDTH // 2].square()).sqrt()
    ring = (radius / radius.max() * count).long().clamp(max=count - 1)
    return {f"ring {i}": deviation(power[..., ring == i] - 1, 1) for i in range(count)}


@pytest.mark.parametrize("name", FIELDS)
def test_noise_is_white_and_normal_whatever_the_field(name):
    beyond = {k: v for k, v in deviations(many(FIELDS[name])).items() if not abs(v) < 5}
    assert not beyond


def test_noise_stays_white_as_it_degrades():
    beyond = {k: v for k, v in deviations(many(FIELDS["folds"], 0.3)).items() if not abs(v) < 5}
    assert not beyond


def test_without_motion_it_is_the_noise_the_host_draws():
    host = torch.randn(1, 16, 24, 40, generator=torch.manual_seed(11))
    assert_close(warp_noise(MotionField.identity(1, 7, 9), 16, 24, 40, 11), host, atol=1e-5, rtol=0)


def test_noise_shifted_by_whole_pixels_is_the_same_to_the_bit():
    still = warp_noise(FIELDS["identity"], 3, HEIGHT, WIDTH, 5)
    moved = warp_noise(FIELDS["whole pixels"], 3, HEIGHT, WIDTH, 5)
    assert torch.equal(moved[..., 3:, :-5], still[..., :-3, 5:])


def test_frames_a_pixel_apart_are_alike_along_the_motion():
    base = MotionField.from_pixels(PIXELS @ turned(10) * 0.8 + 6)
    pixels = base.to_pixels(HEIGHT, WIDTH)
    across = pixels[:, :, 1:] - pixels[:, :, :-1]  # what a step to the right reads further on
    ahead = torch.cat([pixels[:, :, 1:], pixels[:, :, -1:] + across[:, :, -1:]], dim=2)
    one, other = (
        warp_noise(MotionField.from_pixels(p), 8, HEIGHT, WIDTH, 1)[0] for p in (pixels, ahead)
    )
    inside = (pixels[0] > 2).all(-1) & (pixels[0] < torch.tensor([WIDTH, HEIGHT]) - 4).all(-1)
    a, b = one[:, :, 1:][:, inside[:, 1:]], other[:, :, :-1][:, inside[:, 1:]]
    assert torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] > 0.99


def test_what_is_hidden_has_noise_of_its_own():
    visible = torch.ones(1, 1, HEIGHT, WIDTH)
    visible[..., 9:25, 20:40] = 0
    hidden = many(MotionField(GRID[None], (visible,)))[..., 9:25, 20:40]
    source = many(FIELDS["identity"])[..., 9:25, 20:40]
    assert abs(deviation(hidden * source, 1)) < 5


def test_degradation_mixes_in_noise_that_is_new_in_every_frame():
    field = MotionField.identity(2, 8, 8)
    clean, noisy = (warp_noise(field, 16, 64, 64, 3, d) for d in (0.0, 0.6))
    both = torch.stack([clean[0].flatten(), *noisy.flatten(1)])
    same = 0.4 / (0.4**2 + 0.6**2) ** 0.5
    assert_close(torch.corrcoef(both)[0, 1:], torch.full((2,), same), atol=0.02, rtol=0)
    assert_close(torch.corrcoef(both)[1, 2], torch.tensor(same**2), atol=0.02, rtol=0)


def test_one_seed_gives_the_same_bits_and_a_held_pose_the_same_noise():
    field = MotionField.join([FIELDS["near"], FIELDS["near"]])
    first, again = (warp_noise(field, 4, HEIGHT, WIDTH, 9) for _ in range(2))
    assert torch.equal(first, again) and torch.equal(first[0], first[1])
    assert not torch.equal(first, warp_noise(field, 4, HEIGHT, WIDTH, 10))


def test_places_that_are_nowhere_have_noise_of_their_own():
    grid = GRID[None].clone()
    grid[:, :15] = torch.nan
    noise = many(MotionField(grid))
    assert noise.isfinite().all() and abs(deviation(noise.square() - 1, 2**0.5)) < 5


@pytest.mark.parametrize(("seed", "degradation"), [(-1, 0.0), (2**64 - 1, 1.0), (0, 0.5)])
def test_any_seed_and_degradation_will_do(seed, degradation):
    assert warp_noise(MotionField.identity(1, 4, 4), 1, 1, 3, seed, degradation).isfinite().all()


@pytest.mark.parametrize("degradation", [-0.1, 1.1, float("nan")])
def test_a_degradation_that_cannot_be_is_refused(degradation):
    with pytest.raises(InputError, match="0 to 1"):
        warp_noise(MotionField.identity(1, 4, 4), 4, 8, 8, 0, degradation)


@pytest.mark.parametrize(
    ("size", "seed", "said"),
    [
        ((4, 0, 8), 0, "at least one"),
        ((4.5, 8, 8), 0, "whole numbers"),
        ((4, 8, 8), 1.5, "64 bits"),
        ((4, 8, 8), 2**64, "64 bits"),
    ],
)
def test_noise_without_pixels_or_a_seed_is_refused(size, seed, said):
    with pytest.raises(InputError, match=said):
        warp_noise(MotionField.identity(1, 4, 4), *size, seed)


# as the host's samplers take it


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_host_gets_its_latents_shape_and_type(dtype):
    noise = FieldNoise(MotionField.identity(9, 8, 8), 4)
    assert noise.seed == 4
    for shape in ((9, 4, 8, 10), (2, 16, 3, 8, 10)):
        made = noise.generate_noise({"samples": torch.zeros(shape, dtype=dtype)})
        assert made.shape == shape and made.dtype == dtype and made.device.type == "cpu"


def test_pictures_of_a_batch_have_the_frames_their_index_names():
    field = MotionField.join([FIELDS["near"], FIELDS["turned"], FIELDS["far"]])
    noise = FieldNoise(field, 2)
    whole = noise.generate_noise({"samples": torch.zeros(3, 4, HEIGHT, WIDTH)})
    some = noise.generate_noise(
        {"samples": torch.zeros(2, 4, HEIGHT, WIDTH), "batch_index": [2, 0]}
    )
    assert torch.equal(some, whole[[2, 0]])
    assert torch.equal(whole, warp_noise(field, 4, HEIGHT, WIDTH, 2))


def test_films_have_the_frames_their_encoder_keeps():
    field = MotionField.join(
        [MotionField.from_pixels(PIXELS + torch.tensor([i, 0.0])) for i in range(6)]
    )
    made = FieldNoise(field, 2).generate_noise({"samples": torch.zeros(1, 4, 2, HEIGHT, WIDTH)})
    every = warp_noise(field, 4, HEIGHT, WIDTH, 2)
    assert torch.equal(made[0].transpose(0, 1), every[[0, 4]])


def test_films_of_a_batch_have_the_draws_their_index_names():
    noise = FieldNoise(MotionField.identity(1, 8, 8), 6)
    made = noise.generate_noise({"samples": torch.zeros(2, 4, 1, 8, 10), "batch_index": [0, 2]})
    generator = torch.manual_seed(6)
    draws = [torch.randn(1, 4, 8, 10, generator=generator) for _ in range(3)]
    assert_close(made[:, :, 0], torch.cat([draws[0], draws[2]]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("latent", "said"),
    [
        ({"samples": torch.zeros(2, 4, 8, 8)}, "Repeat Latent Batch"),
        ({"samples": torch.zeros(1, 4, 3, 8, 8)}, "field of 9 frames"),
        ({"samples": torch.zeros(1, 4, 8, 8), "batch_index": [7]}, "asks for 8"),
        ({"samples": torch.zeros(1, 64, 90)}, "sound"),
        ({"samples": [torch.zeros(1, 4, 8, 8)]}, "is a list"),
    ],
)
def test_a_latent_that_does_not_fit_is_refused_with_the_cure(latent, said):
    with pytest.raises(InputError, match=said):
        FieldNoise(MotionField.identity(5, 8, 8), 0).generate_noise(latent)


def test_the_sources_noise_is_drawn_once():
    noise = SourceNoise(4, 8, 8, 0)
    assert noise.cells is noise.cells
    blocks = noise.cells.T.view(4, 8, 4, 8, 4).sum((2, 4)) / 4
    assert_close(blocks, noise.white, atol=1e-5, rtol=0)
