"""Cut-outs: alpha goes with the head, and nothing else of the picture changes, to the bit."""

import torch

import comfyui_motion as motion
from comfyui_motion.framing.head import source_place
from comfyui_motion.framing.level import LevelPortrait
from comfyui_motion.framing.plan import WHOLE
from tests.heads.acting import DRIVER, STEP, face_points, noise, run

FACE = face_points(70, 60, 24, 0.3)


def cut_out(count=1):
    """Colours and alpha of noise. N 4 120 150"""
    return torch.cat([noise(120, 150, count), noise(60, 75, count)[:, :1].repeat(1, 1, 2, 2)], 1)


def reach(model, picture):
    return LevelPortrait.at(model, picture[:, :3], source_place(FACE, 120, 150), WHOLE).reach[0, 0]


def test_alpha_and_colours_outside_the_square_stay_to_the_bit(shown):
    model, source = shown([FACE], DRIVER[:3]), cut_out()
    frames, steps = run(model, source, noise(80, 100, 3), reference=0)
    alpha, inside = torch.cat([step.alpha for step in steps]), reach(model, source)
    assert 0.1 < inside.float().mean() < 0.9
    assert torch.equal(frames[..., ~inside], source[:, :3].expand(3, -1, -1, -1)[..., ~inside])
    assert torch.equal(alpha[..., ~inside], source[:, 3:].expand(3, -1, -1, -1)[..., ~inside])
    assert (alpha[:1] - source[:, 3:]).abs().max() < STEP  # at rest
    assert (alpha[2:] - source[:, 3:]).abs().max() > STEP


def test_an_opaque_picture_has_no_alpha_and_one_alpha_stays_as_it_is(shown):
    model, source, driving = shown([FACE], DRIVER[:2]), cut_out(), noise(80, 100, 2)
    source[:, 3:] = 1
    assert run(model, source, driving)[1][0].alpha is None
    source[:, 3:] = 0.5
    steps = run(model, source, driving, reference=0)[1]
    assert all(torch.allclose(step.alpha, torch.tensor(0.5), atol=1e-6) for step in steps)


def test_a_frame_of_the_models_own_size_has_the_squares_alpha(shown):
    model, source = shown([FACE], DRIVER[:2]), cut_out()
    source[:, 3:] = (torch.arange(150) < 70).float()
    (step,) = run(model, source, noise(80, 100, 2), reference=0, size="model")[1]
    assert step.alpha.shape[-2:] == step.frames.shape[-2:]
    side = step.alpha.shape[-1]
    assert step.alpha[0, 0, side // 2, : side // 4].min() > 0.9
    assert step.alpha[0, 0, side // 2, -side // 4 :].max() < 0.1


def test_a_clip_of_cut_outs_keeps_the_alpha_of_each_frame(shown):
    model = shown([FACE], DRIVER[:3], moving=[FACE] * 3)
    clip = cut_out(3)
    for source in (clip, iter(clip.split(2))):
        steps = list(motion.perform(model, source, noise(80, 100, 3), size="source", reference=0))
        inside = reach(model, clip[:1])
        for step, picture in zip(steps, clip, strict=True):
            assert torch.equal(step.frames[0][:, ~inside], picture[:3, ~inside])
            assert torch.equal(step.alpha[0][:, ~inside], picture[3:, ~inside])
