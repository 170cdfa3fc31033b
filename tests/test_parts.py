"""Masks from parts, and one picture's parts laid over another's."""

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape
from comfyui_motion.parts import (
    blend,
    decimate,
    part_mask,
    part_numbers,
    swap_parts,
)

BODY = BodyShape(4, 16, 2, 1)


@pytest.fixture
def parts():
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)).mul(3).softmax(dim=1)


@pytest.fixture
def frames():
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def copart():
    torch.manual_seed(0)
    return motion.build(
        "copart", parts=3, affines=3, segmentation=HourglassShape(4, 16, 2), body=BODY
    ).requires_grad_(False)


@pytest.fixture(scope="module")
def fomm():
    torch.manual_seed(0)
    shape = HourglassShape(4, 16, 2)
    return motion.build(
        "fomm", keypoints=3, jacobians=3, detector=shape, dense=shape, body=BODY
    ).requires_grad_(False)


def reconstructed(model, frames):
    """Frames as the network sees them, with nothing swapped."""
    return model.reconstruction_module.decode(model.encode(frames).features[-1])


def test_all_parts_make_the_whole_picture(parts):
    assert_close(part_mask(parts, range(4)), torch.ones(2, 1, 8, 8))


def test_parts_add_up_and_none_counts_twice(parts):
    assert_close(part_mask(parts, [1, 3, 3]), parts[:, 1:2] + parts[:, 3:4])


def test_hard_masks_are_zero_or_one(parts):
    soft, hard = part_mask(parts, [1, 2]), part_mask(parts, [1, 2], hard=True)
    assert torch.equal(hard, (soft > 0.5).float())


@pytest.mark.parametrize("indices", [[], [4], [-1]])
def test_parts_that_do_not_exist_are_refused(parts, indices):
    with pytest.raises(motion.InputError, match=r"0 \(the background\) to 3"):
        part_mask(parts, indices)


def test_blending_is_a_choice_between_two_pictures(frames):
    under, over = frames[:1], frames[1:2]
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :32] = 1
    found = blend(under, over, mask)
    assert torch.equal(found[..., :32], over[..., :32]) and torch.equal(
        found[..., 32:], under[..., 32:]
    )


def test_decimating_keeps_a_plain_mask_plain_and_softens_an_edge():
    assert_close(decimate(torch.ones(1, 1, 64, 48), 16, 12), torch.ones(1, 1, 16, 12))
    edge = torch.zeros(1, 1, 64, 64)
    edge[..., 32:] = 1
    small = decimate(edge, 16, 16)
    assert small.shape == (1, 1, 16, 16)
    assert (
        small[..., 0].max() < 0.01
        and small[..., -1].min() > 0.99
        and ((small > 0.05) & (small < 0.95)).any()
    )
    assert decimate(edge, 10, 10).shape == (1, 1, 10, 10)


def test_swapping_nothing_leaves_the_target(copart, frames):
    wanted = reconstructed(copart, frames[1:])
    assert_close(swap_parts(copart, frames[:1], frames[1:], [1], strength=0), wanted)
    assert_close(swap_parts(copart, frames[:1], frames[1:], mask=torch.zeros(1, 1, 64, 64)), wanted)


def test_swapping_everything_animates_the_source(copart, frames):
    portrait = copart.encode(frames[:1])
    wanted = copart.generate(portrait, copart.motion(portrait, copart.detect(frames[1:])))
    assert_close(swap_parts(copart, frames[:1], frames[1:], range(4)), wanted, atol=1e-5, rtol=0)
    assert_close(
        swap_parts(copart, portrait, frames[1:], mask=torch.ones(1, 1, 64, 64)),
        wanted,
        atol=1e-5,
        rtol=0,
    )


def test_a_batch_of_targets_gives_what_single_ones_give(copart, frames):
    together = swap_parts(copart, frames[:1], frames, [1, 2], mask="source", hard=True)
    singly = [
        swap_parts(copart, frames[:1], frame, [1, 2], mask="source", hard=True)
        for frame in frames.split(1)
    ]
    assert_close(together, torch.cat(singly), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mask_of", ["target", "source"])
def test_a_mask_from_outside_serves_a_model_without_parts(fomm, frames, mask_of):
    portrait = fomm.encode(frames[:1])
    wanted = fomm.generate(portrait, fomm.motion(portrait, fomm.detect(frames[1:])))
    everywhere = torch.ones(2, 1, 64, 64) if mask_of == "target" else torch.ones(1, 1, 100, 80)
    found = swap_parts(fomm, portrait, frames[1:], mask=everywhere, mask_of=mask_of)
    # a mask of the source ends where the field leaves the source
    within = slice(None) if mask_of == "target" else slice(24, 40)
    assert_close(found[..., within, within], wanted[..., within, within], atol=1e-5, rtol=0)


class Wrapped:
    """A model behind another object, as hosts hold theirs."""

    def __init__(self, model):
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)


def test_what_wraps_a_model_swaps_as_it_does(copart, frames):
    wanted = swap_parts(copart, frames[:1], frames[1:], [1, 2])
    assert_close(swap_parts(Wrapped(copart), frames[:1], frames[1:], [1, 2]), wanted)
    with pytest.raises(motion.InputError, match="family flow swaps no parts"):
        swap_parts(Wrapped(motion.load("flow")), frames[:1], frames[1:], mask=torch.ones(1, 64, 64))


def test_half_a_mask_swaps_half_the_picture(fomm, frames):
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 32:] = 1
    nothing, half, whole = (
        swap_parts(fomm, frames[:1], frames[1:], mask=m)
        for m in (mask * 0, mask, torch.ones_like(mask))
    )
    left = (half - nothing).abs()[..., :4].mean() / (whole - nothing).abs()[..., :4].mean()
    right = (half - whole).abs()[..., -4:].mean() / (whole - nothing).abs()[..., -4:].mean()
    assert left < 0.5 and right < 0.5


def test_strength_goes_from_the_target_to_the_source(copart, frames):
    ends = [
        swap_parts(copart, frames[:1], frames[1:], [1, 2, 3], strength=s) for s in (0.0, 0.5, 1.0)
    ]
    apart = (ends[2] - ends[0]).abs().mean()
    assert (
        0 < (ends[1] - ends[0]).abs().mean() < apart
        and 0 < (ends[2] - ends[1]).abs().mean() < apart
    )


def test_what_cannot_be_swapped_is_refused_in_a_sentence(copart, fomm, frames):
    with pytest.raises(motion.InputError, match="knows no parts; give a mask from outside"):
        swap_parts(fomm, frames[:1], frames[1:], [1])
    with pytest.raises(motion.InputError, match="not 'middle'"):
        swap_parts(copart, frames[:1], frames[1:], [1], mask="middle")
    with pytest.raises(motion.InputError, match="mask must have the shape B 1 H W"):
        swap_parts(copart, frames[:1], frames[1:], mask=torch.ones(64, 64))
    with pytest.raises(motion.InputError, match="family flow swaps no parts"):
        swap_parts(motion.load("flow"), frames[:1], frames[1:], mask=torch.ones(1, 1, 64, 64))


def test_numbers_are_read_as_people_write_them():
    assert part_numbers("1, 3-5") == [1, 3, 4, 5]
    assert part_numbers(" 2 7,9 ") == [2, 7, 9]
    assert part_numbers("") == []
    for wrong in ("one", "1-", "-3", "1-b"):
        with pytest.raises(motion.InputError, match="1, 3-5"):
            part_numbers(wrong)
