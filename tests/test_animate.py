"""The hot path: any model, any size, any length; whoever watches can stop it."""

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import (
    InputError,
    Keypoints,
    MotionField,
    Portrait,
)
from comfyui_motion.model import MotionModel
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

SIZE = 64


class Still:
    """A stand-in's parameters."""

    channels = 3
    size = SIZE


class Slider(MotionModel):
    """A model that can be seen through: the mean brightness of a frame, as one of its points,
    slides the source to the right.

    It hides the left half of whatever moves, and paints it red.
    """

    family = "slider"

    def __init__(self) -> None:
        super().__init__(Still())
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.detected, self.encoded = 0, 0

    def detect(self, frames, reference=None):
        self.detected += len(frames)
        corners = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]).expand(
            len(frames), -1, -1
        )
        slide = frames.mean(dim=(1, 2, 3))[:, None, None] * torch.tensor([1.0, 0.0])
        return Keypoints(corners + slide)

    def encode(self, source):
        self.encoded += 1
        return Portrait(self.accept(source, "source"), self.detect(source))

    def motion(self, portrait, pose, frames=None):
        slide = (pose.position - portrait.keypoints.position).mean(1)[:, None, None]  # B 1 1 2
        visible = torch.ones(len(pose), 1, 8, 8) * 0.5
        visible[..., :4] *= (slide.abs().amax(-1) < 1e-4).float()[:, None]
        return MotionField(MotionField.identity(1, 8, 8).grid - slide, (visible,))

    def generate(self, portrait, field):
        return torch.tensor([1.0, 0, 0])[:, None, None].expand(len(field), 3, SIZE, SIZE).clone()


@pytest.fixture
def model():
    return Slider().eval()


@pytest.fixture
def source():
    torch.manual_seed(0)
    return torch.rand(1, 3, 90, 70)


def brightening(
    frames: int, first: float = 0.1, step: float = 0.01, size: int = 32
) -> torch.Tensor:
    light = first + step * torch.arange(frames, dtype=torch.float32)
    stripes = 0.05 * (-1.0) ** torch.arange(size + 8)  # a frame of one colour would be held
    return light[:, None, None, None].expand(-1, 3, size, size + 8) + stripes


def whole(batches) -> torch.Tensor:
    return torch.cat(list(batches))


def test_the_source_is_encoded_once_and_every_frame_detected_once(model, source):
    whole(motion.animate(model, source, brightening(11), batch_size=4))
    assert model.encoded == 1 and model.detected == 1 + 11


def test_frames_come_at_the_model_s_size_or_the_source_s(model, source):
    assert whole(motion.animate(model, source, brightening(3))).shape == (3, 3, SIZE, SIZE)
    assert whole(motion.animate(model, source, brightening(3), size="source")).shape == (
        3,
        3,
        90,
        70,
    )


def test_the_first_frame_is_the_source_when_motion_is_relative(model, source):
    frames = whole(motion.animate(model, source, brightening(3, first=0.4), size="source"))
    assert_close(frames[:1], source, atol=1e-4, rtol=0)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
def test_no_motion_is_the_source_itself_however_it_is_fitted(model, source, fit):
    frames = whole(
        motion.animate(model, source, brightening(3, first=0.4, step=0), size="source", fit=fit)
    )
    assert_close(frames, source.expand(3, -1, -1, -1), atol=1e-4, rtol=0)


def test_motion_stays_where_the_subject_is(model, source):
    frames = whole(
        motion.animate(
            model,
            source,
            brightening(2, step=0.1),
            size="source",
            adapt_scale=False,
            subject=(20, 20, 50, 60),
        )
    )
    assert (frames[-1, :, 30:50, 25:45] - source[0, :, 30:50, 25:45]).abs().max() > 0.1
    for far in (
        (slice(None), slice(0, 12)),
        (slice(None), slice(60, None)),
        (slice(70, None), slice(None)),
    ):
        assert_close(frames[-1][:, far[0], far[1]], source[0][:, far[0], far[1]], atol=1e-4, rtol=0)


def test_only_the_driver_s_own_box_is_looked_at(model, source):
    clip = brightening(3, step=0.0).clone()
    clip[1:, :, :, 20:] += 0.3  # something else changes, beside the subject
    frames = whole(
        motion.animate(model, source, clip, size="source", driving_subject=(0, 0, 16, 32))
    )
    assert_close(frames, source.expand(3, -1, -1, -1), atol=1e-4, rtol=0)
    assert (
        whole(motion.animate(model, source, clip, size="source"))[-1] - source[0]
    ).abs().max() > 0.1


def test_the_default_moves_a_subject_in_its_box_and_leaves_the_rest():
    torch.manual_seed(0)
    texture = torch.nn.functional.interpolate(
        torch.rand(1, 3, 16, 16), size=(96, 96), mode="bicubic"
    ).clamp(0, 1)
    clip = torch.cat([texture[..., :80, 8 - i : 88 - i] for i in (0, 2, 4)])
    source = torch.zeros(1, 3, 200, 200)
    source[..., 20:100, 100:180] = texture[..., :80, 8:88]
    flow = motion.load("flow")
    for mode in ("relative", "absolute"):
        frames = whole(
            motion.animate(
                flow, source, clip, mode=mode, size="source", subject=(100, 20, 180, 100)
            )
        )
        inside = frames[-1, :, 30:90, 115:165]
        wanted = source[0, :, 30:90, 111:161]
        assert (inside - wanted).abs().mean() < 0.25 * (
            source[0, :, 30:90, 115:165] - wanted
        ).abs().mean()
        assert_close(frames[-1, :, 130:], source[0, :, 130:], atol=1e-4, rtol=0)
        assert_close(frames[-1, :, :, :70], source[0, :, :, :70], atol=1e-4, rtol=0)


def test_a_subject_in_its_box_is_at_rest_in_the_reference_frame_wherever_it_lies():
    torch.manual_seed(0)
    texture = torch.nn.functional.interpolate(
        torch.rand(1, 3, 16, 16), size=(96, 96), mode="bicubic"
    ).clamp(0, 1)
    clip = torch.cat([texture[..., :80, 8 - i : 88 - i] for i in (0, 2, 4)])
    source = torch.rand(1, 3, 100, 300)
    frames = whole(
        motion.animate(
            motion.load("flow"), source, clip, size="source", reference=2, subject=(40, 10, 80, 90)
        )
    )
    assert_close(frames[2:], source, atol=1e-3, rtol=0)
    assert (frames[0] - source[0]).abs().max() > 0.1


@pytest.mark.parametrize("height", [100, 200])
def test_the_default_moves_a_subject_as_far_as_its_box_is_large_in_both_directions(height):
    torch.manual_seed(0)
    texture = torch.nn.functional.interpolate(
        torch.rand(1, 3, 16, 16), size=(96, 96), mode="bicubic"
    ).clamp(0, 1)
    clip = torch.cat([texture[..., 8 - i : 88 - i, 8 - i : 88 - i] for i in (0, 4)])
    source = torch.rand(1, 3, height, 300)
    step = next(
        iter(
            motion.perform(
                motion.load("flow"), source, clip, size="source", subject=(40, 10, 80, 90)
            )
        )
    )
    size = height, 300
    moved = (step.field.to_pixels(*size) - MotionField.identity(1, *size).to_pixels(*size))[
        1, 50, 60
    ]
    assert_close(moved, torch.tensor([-4 * 40 / 80, -4 * 80 / 80]), atol=0.15, rtol=0)


def test_what_is_hidden_is_filled_from_the_generator_and_the_rest_moved(model, source):
    step = list(
        motion.perform(model, source, brightening(2, step=0.1), size="source", adapt_scale=False)
    )[-1]
    moved = step.frames[-1:]
    assert_close(
        moved[..., :20],
        torch.tensor([1.0, 0, 0])[:, None, None].expand(1, 3, 90, 20),
        atol=0.01,
        rtol=0,
    )
    assert step.occlusion[-1, 0, 45, 5] > 0.99 and step.occlusion[-1, 0, 45, 60] < 0.01
    shift = 0.1 * SIZE / 2 * 70 / SIZE * (SIZE - 1) / SIZE  # in pixels of the source
    still = MotionField.identity(1, 90, 70).to_pixels(90, 70)
    wanted = MotionField.from_pixels(still - torch.tensor([shift, 0.0])).warp(source)
    assert_close(moved[..., 50:], wanted[..., 50:], atol=1e-3, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 100])
def test_frames_do_not_depend_on_the_batch(model, source, batch_size):
    wanted = whole(motion.animate(model, source, brightening(7), size="source", batch_size=7))
    found = whole(
        motion.animate(model, source, brightening(7), size="source", batch_size=batch_size)
    )
    assert_close(found, wanted, atol=1e-6, rtol=0)


def test_a_stream_of_uneven_batches_is_the_same_clip(model, source):
    clip = brightening(7)
    wanted = whole(motion.animate(model, source, clip, size="source"))
    for stream in (iter(clip.split([2, 1, 4])), list(clip.split(3))):
        assert_close(
            whole(motion.animate(model, source, stream, size="source", batch_size=3)),
            wanted,
            atol=1e-6,
            rtol=0,
        )


def test_a_stream_is_read_as_it_is_needed(model, source):
    read = []

    def stream():
        for frame in brightening(50).split(1):
            read.append(1)
            yield frame

    frames = motion.animate(model, source, stream(), batch_size=4)
    next(frames)
    assert len(read) <= 5


def test_motion_is_measured_from_the_reference_frame_and_the_clip_stays_in_order(model, source):
    clip = brightening(5, step=0.05)
    steps = list(
        motion.perform(
            model, source, clip, reference=2, size="source", adapt_scale=False, batch_size=2
        )
    )
    slides = torch.cat([step.pose.position for step in steps])[:, 0, 0]
    assert_close(slides - slides[2], 0.05 * torch.arange(-2.0, 3), atol=1e-5, rtol=0)
    assert_close(torch.cat([step.frames for step in steps])[2:3], source, atol=1e-4, rtol=0)


def test_the_best_reference_may_lie_in_the_middle_of_a_stream(source):
    class Posed(Slider):
        def detect(self, frames, reference=None):
            points = super().detect(frames)
            bent = frames.mean(dim=(1, 2, 3))[:, None, None] * torch.tensor(
                [[1.0, 0], [0, 0], [0, 0], [0, 1.0]]
            )
            return Keypoints(points.position + 3 * bent)

    model, clip = Posed().eval(), brightening(5, step=0.1)
    looks_like = torch.full((1, 3, 32, 32), 0.4)  # as the driver looks in frame 3
    steps = list(
        motion.perform(model, looks_like, iter(clip.split(2)), reference=-1, adapt_scale=False)
    )
    poses = torch.cat([step.pose.position for step in steps])
    assert_close(
        poses[3:4], model.detect(torch.full((1, 3, SIZE, SIZE), 0.4)).position, atol=1e-5, rtol=0
    )


def test_progress_counts_to_the_end_and_knows_it_from_the_start(model, source):
    seen = []
    whole(
        motion.animate(
            model,
            source,
            brightening(7),
            batch_size=3,
            progress=lambda done, total: seen.append((done, total)),
        )
    )
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_raising_in_progress_ends_the_run_at_once(model, source):
    class Cancelled(Exception):
        pass

    def cancel(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        whole(motion.animate(model, source, brightening(70), batch_size=2, progress=cancel))
    assert model.detected <= 4


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gray_and_transparent_pictures_are_taken(model, channels):
    source = torch.rand(1, channels, 40, 50)
    assert whole(motion.animate(model, source, brightening(2), size="source")).shape == (
        2,
        3,
        40,
        50,
    )


def test_inputs_are_never_written_into(model, source):
    before, clip = source.clone(), brightening(3).contiguous()
    kept = clip.clone()
    whole(motion.animate(model, source, clip, size="source"))
    assert torch.equal(source, before) and torch.equal(clip, kept)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": "huge"}, '"model" or "source"'),
        ({"mode": "sideways"}, "absolute, relative, avd"),
        ({"reference": -2}, "frame number, or -1"),
        ({"fit": "squeeze"}, "stretch, letterbox, crop"),
        ({"reference": 99}, "99 lies beyond the end"),
        ({"mode": "avd"}, "avd_network"),
    ],
)
def test_options_that_mean_nothing_are_refused_in_a_sentence(model, source, options, says):
    with pytest.raises(InputError, match=says):
        whole(motion.animate(model, source, brightening(2), **options))


def test_an_empty_clip_and_a_wrong_source_are_refused(model, source):
    with pytest.raises(InputError, match="no frames"):
        whole(motion.animate(model, source, brightening(0)))
    with pytest.raises(InputError, match="B C H W"):
        whole(motion.animate(model, source[0], brightening(2)))


def test_an_untrained_network_animates_a_picture_of_another_size():
    shape = HourglassShape(8, 32, 2)
    network = motion.build(
        "fomm",
        keypoints=4,
        jacobians=4,
        detector=shape,
        dense=shape,
        body=BodyShape(8, 32, 2, 1),
        size=64,
    )
    source = torch.rand(1, 3, 70, 110)
    frames = whole(motion.animate(network, source, torch.rand(3, 3, 50, 40), size="source"))
    assert frames.shape == (3, 3, 70, 110)
    assert_close(frames[:1], source, atol=1e-3, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("only", [None, (2, 7), (4, 5)])
def test_a_frame_that_is_held_is_made_once_and_shown_as_often_as_it_was(batch_size, only):
    picture = torch.rand(1, 3, SIZE, SIZE)
    shown = [0, 0, 1, 2, 2, 2, 2, 1, 1]
    clip = torch.rand(3, 3, SIZE, SIZE)[shown]
    slider = Slider()
    plain = torch.cat(
        [
            next(iter(motion.animate(Slider(), picture, clip[[0, n]], batch_size=2)))[1:]
            for n in shown
        ]
    )
    done: list[int] = []
    frames = list(
        motion.animate(
            slider,
            picture,
            clip,
            batch_size=batch_size,
            only=only,
            progress=lambda count, _: done.append(count),
        )
    )
    assert max(len(part) for part in frames) <= batch_size
    assert_close(torch.cat(frames), plain[slice(*only)] if only else plain)
    assert slider.detected <= 1 + 4  # the source, and four stretches
    assert done[-1] == len(shown) or only


def test_a_clip_that_stands_still_is_shown_as_it_goes_on():
    picture, frame = torch.rand(2, 1, 3, SIZE, SIZE)
    frames = motion.animate(Slider(), picture, (frame for _ in iter(int, 1)), batch_size=4)
    assert len(next(frames)) == 4


def test_a_long_hold_is_looked_at_again_now_and_then_only():
    picture, *frames = torch.rand(3, 1, 3, SIZE, SIZE)
    slider = Slider()
    clip = torch.cat([frames[0].expand(200, -1, -1, -1), frames[1].expand(200, -1, -1, -1)])
    made = list(motion.animate(slider, picture, clip, batch_size=8))
    assert sum(map(len, made)) == 400 and slider.detected < 12
