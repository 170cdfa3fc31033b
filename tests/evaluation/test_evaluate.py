"""Evaluation: what is perfect scores so, what is broken is counted and left out, and what was found
can be read again.
"""

import json
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch

import comfyui_motion as motion
from comfyui_motion import (
    InputError,
    Keypoints,
    MediaError,
    MotionField,
    MotionModel,
    Portrait,
)
from comfyui_motion.evaluation.evaluate import choose_pairs, evaluate, own_size
from comfyui_motion.evaluation.report import Report, Scores, compare

SIDE = 48
# pixels, of what `shifted` leaves visible
MOVED = (2 * 46 + 4 * 44 + 6 * 42 + 8 * 40) / (48 + 46 + 44 + 42 + 40)


def sliding(
    frames: int = 5, step: int = 2, seed: int = 0, height: int = SIDE, width: int = SIDE
) -> torch.Tensor:
    """A texture sliding to the right. N 3 H W"""
    torch.manual_seed(seed)
    texture = torch.nn.functional.interpolate(
        torch.rand(1, 3, 12, 20), size=(height, width + step * frames), mode="bicubic"
    ).clamp(0, 1)
    return torch.cat(
        [texture[..., step * (frames - i) : step * (frames - i) + width] for i in range(frames)]
    )


@dataclass
class Shelf:
    """Clips in memory; one that is text cannot be read."""

    clips: dict

    @property
    def names(self):
        return list(self.clips)

    def video(self, number):
        clip = self.clips[self.names[number]]
        if isinstance(clip, str):
            raise MediaError(clip)
        return clip


class Stub(MotionModel):
    """Answers with the driving frames it was shown, in a field and keypoints given beforehand, or
    none to speak of.
    """

    family, any_size = "stub", True
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, field=None, joints=None):
        super().__init__(SimpleNamespace(size=SIDE, channels=3))
        self.eval()
        self.field, self.joints, self.at = field, joints, 0
        self.references, self.backgrounds, self.shown = [], [], None

    def detect(self, frames, reference=None):
        self.references.append(reference)
        self.shown = frames
        return (
            self.joints[self.at : self.at + len(frames)]
            if self.joints is not None
            else Keypoints(torch.zeros(len(frames), 3, 2))
        )

    def encode(self, source, placement=None):
        return Portrait(source, Keypoints(torch.zeros(1, 3, 2)))

    def motion(self, portrait, pose, frames=None):
        self.backgrounds.append(frames)
        start, self.at = self.at, self.at + len(pose)
        return (
            self.field[start : self.at]
            if self.field is not None
            else MotionField.identity(len(pose), *portrait.picture.shape[-2:])
        )

    def generate(self, portrait, field):
        return (
            self.shown
            if len(self.shown) == len(field)
            else portrait.picture.expand(len(field), -1, -1, -1)
        )


@pytest.fixture(scope="module")
def flow():
    return motion.build("flow", lattice=16, detail=96)


def test_a_perfect_model_scores_perfectly():
    report = evaluate(Stub(), Shelf({"a": sliding()}), size=SIDE, batch_size=2)
    values = report.total.values
    assert values["l1"] == 0 and values["l1_over_copying"] == 0 and values["copying"] > 0.01
    assert values["ssim"] == pytest.approx(1, abs=1e-5) and values["psnr"] == pytest.approx(100)
    assert (
        values["akd"] == 0 and "mkr" not in values and "aed" not in values and "flow" not in values
    )
    assert report.total.frames == 5


def test_reconstruction_shows_the_model_the_source_and_the_driving_frames():
    model = Stub()
    clip = sliding()
    evaluate(model, Shelf({"a": clip}), size=SIDE, batch_size=2)
    assert [len(frames) for frames in model.backgrounds] == [2, 2, 1]
    assert all(torch.equal(reference, clip[:1]) for reference in model.references)


def test_copying_frame_0_is_the_ratio_of_one():
    class Copying(Stub):
        def generate(self, portrait, field):
            return portrait.picture.expand(len(field), -1, -1, -1)

    values = evaluate(Copying(), Shelf({"a": sliding()}), size=SIDE).total.values
    assert values["l1_over_copying"] == pytest.approx(1) and values["l1"] == pytest.approx(
        values["copying"]
    )


def test_flow_beats_copying_on_a_clip_that_slides(flow):
    values = evaluate(flow, Shelf({"a": sliding(4, 1)}), size=SIDE).total.values
    assert values["l1_over_copying"] < 0.7
    assert values["akd"] < 1 and values["ssim"] > 0.8


def test_frames_are_compared_at_the_size_asked_for_whatever_the_model_takes():
    class Small(Stub):
        any_size = False
        seen = ()

        def encode(self, source, placement=None):
            self.seen = source.shape[-2:]
            return super().encode(source)

    model = Small()
    report = evaluate(model, Shelf({"a": sliding(3, 2, 0, 60, 90)}), size=64)
    assert model.seen == (SIDE, SIDE) and report.size == 64
    assert report.moments[0].pictures.shape == (3, 3, 64, 64)
    assert own_size(model) == SIDE and own_size(Stub()) == 256 and own_size(model, Stub()) == SIDE


def shifted(frames: int, step: int):
    """What is known of a picture that slides to the right by `step` pixels a frame."""
    rest = MotionField.identity(frames, SIDE, SIDE).grid
    pixels = torch.arange(frames) * step
    grids = rest - torch.stack([2 * pixels / (SIDE - 1), 0 * pixels], dim=-1)[:, None, None]
    visible = (grids.abs().amax(-1) <= 1 + 1e-4).float()[:, None]
    joints = Keypoints(torch.zeros(frames, 2, 2) + torch.tensor([[0.1, 0.2], [9.0, 9.0]]))
    return SimpleNamespace(
        grids=grids,
        visible=visible,
        joints=joints,
        known=torch.tensor([[True, False]]).expand(frames, -1),
    )


class KnownShelf(Shelf):
    groups = ("one", "two", "one")

    def truth(self, number):
        return shifted(5, 2)


def test_a_model_that_knows_the_truth_scores_perfectly_against_it():
    known = shifted(5, 2)
    model = Stub(MotionField(known.grids, (known.visible,)), known.joints)
    values = evaluate(
        model,
        KnownShelf({"a": sliding()}),
        size=SIDE,
        batch_size=2,
        detector=lambda frames: torch.zeros(len(frames), 1, 2),
    ).total.values
    assert values["flow"] == pytest.approx(0, abs=1e-4) and values["moved"] == pytest.approx(
        MOVED, abs=1e-4
    )
    assert values["occlusion_iou"] == 1 and values["joints"] == 0


def test_what_a_model_gets_wrong_is_measured_in_pixels_and_shares():
    known = shifted(5, 2)
    wrong = replace(known.joints, position=known.joints.position + torch.tensor([0.02, 0.0]))
    model = Stub(MotionField(known.grids + torch.tensor([2 / (SIDE - 1), 0.0])), wrong)
    values = evaluate(
        model,
        KnownShelf({"a": sliding()}),
        size=SIDE,
        batch_size=2,
        detector=lambda frames: torch.zeros(len(frames), 1, 2),
    ).total.values
    assert values["flow"] == pytest.approx(1, abs=1e-3) and values["joints"] == pytest.approx(
        0.01, abs=1e-4
    )
    assert "occlusion_iou" not in values  # it says nothing of what is hidden


def test_truth_of_another_size_says_the_same():
    known = shifted(5, 2)
    model = Stub(MotionField(known.grids, (known.visible,)), known.joints)
    values = evaluate(
        model,
        KnownShelf({"a": sliding()}),
        size=2 * SIDE,
        detector=lambda frames: torch.zeros(len(frames), 1, 2),
    ).total.values
    assert values["flow"] == pytest.approx(0, abs=1e-3) and values["moved"] == pytest.approx(
        MOVED * 95 / 47, rel=1e-3
    )


def test_clips_of_several_kinds_have_a_line_for_each():
    clips = KnownShelf({name: sliding() for name in "abc"})
    report = evaluate(Stub(), clips, size=SIDE)
    assert [scores.name for scores in report.groups] == ["all one", "all two"]
    assert [scores.frames for scores in report.groups] == [10, 5] and report.total.frames == 15


def test_detectors_and_embedders_are_the_callers():
    def detector(frames):
        points = torch.tensor([[10.0, 10.0], [20.0, 20.0]]).repeat(len(frames), 1, 1)
        points[frames.mean((1, 2, 3)) > 0.9, 1] = float("nan")  # too bright to see
        return points

    class Bright(Stub):
        def generate(self, portrait, field):
            return torch.ones(len(field), 3, SIDE, SIDE)

    report = evaluate(
        Bright(),
        Shelf({"a": sliding()}),
        size=SIDE,
        detector=detector,
        embedder=lambda frames: frames.mean((2, 3)),
    )
    values = report.total.values
    assert values["akd"] == 0 and values["mkr"] == pytest.approx(0.5) and values["aed"] > 0
    assert report.akd_by == "the detector"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"detector": lambda frames: frames}, "N K 2"),
        ({"detector": lambda frames: "points"}, "str"),
        ({"detector": lambda frames: torch.zeros(1, 4, 2)}, "N = 2"),
        ({"embedder": lambda frames: torch.zeros(len(frames), 4, 4)}, "N D"),
        ({"mode": "guessing"}, "reconstruction or animation"),
        ({"limit": 0}, "limit"),
        ({"frames": 1}, "frames"),
        ({"size": 8}, "size"),
    ],
)
def test_what_cannot_be_used_is_refused(options, says):
    with pytest.raises(InputError, match=says):
        evaluate(Stub(), Shelf({"a": sliding()}), **{"size": SIDE, "batch_size": 2, **options})


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(InputError, match="training mode"):
        evaluate(Stub().train(), Shelf({"a": sliding()}))


def test_clips_that_cannot_be_used_are_counted_and_left_out():
    def cut_short():
        yield sliding()[:2]
        raise MediaError("the film ends early")

    clips = Shelf(
        {"good": sliding(), "bad": "it is no clip", "short": sliding()[:1], "cut": cut_short()}
    )
    report = evaluate(Stub(), clips, size=SIDE)
    assert [scores.name for scores in report.clips] == ["good"]
    assert report.skipped == {
        "bad": "it is no clip",
        "short": "short has 1 frame, and 2 at least are needed for something to move.",
        "cut": "the film ends early",
    }
    assert "3 clips left out, the first bad: it is no clip" in report.table()
    assert {moment.clip for moment in report.moments} == {"good"}


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(InputError, match="holds none"):
        evaluate(Stub(), Shelf({}))
    with pytest.raises(InputError, match="1 frame"):
        evaluate(Stub(), Shelf({"short": sliding()[:1]}), size=SIDE)
    with pytest.raises(InputError, match="None of the 2 clips.*no clip"):
        evaluate(Stub(), Shelf({"bad": "it is no clip", "worse": "nor is this"}), size=SIDE)


def test_clips_frames_and_progress_are_limited_and_reported():
    told = []
    clips = Shelf({"a": sliding(6), "b": iter(sliding(6).split(4)), "c": sliding(6)})
    report = evaluate(
        Stub(),
        clips,
        size=SIDE,
        batch_size=2,
        limit=2,
        frames=3,
        progress=lambda done, total: told.append((done, total)),
    )
    assert [(scores.name, scores.frames) for scores in report.clips] == [("a", 3), ("b", 3)]
    assert told == [(2, None), (3, None), (5, None), (6, None)]


def test_animation_moves_one_clips_picture_by_another(flow):
    clips = Shelf({"a#1.png": sliding(4, 1), "b#1.png": sliding(4, 1, seed=5)})
    report = evaluate(
        flow,
        clips,
        "animation",
        SIDE,
        pairs=[("a#1", "b#1.png")],
        embedder=lambda frames: frames.mean((2, 3)),
    )
    assert [scores.name for scores in report.clips] == ["a#1.png moved by b#1.png"]
    assert set(report.total.values) == {"aed"} and report.total.values["aed"] < 0.01
    assert evaluate(flow, clips, "animation", SIDE, limit=1).total.values == {}


def test_animation_measures_nothing_without_truth_but_keeps_pictures(flow):
    report = evaluate(
        flow, Shelf({"a": sliding(4, 1), "b": sliding(4, 1, seed=5)}), "animation", SIDE
    )
    assert report.total.frames == 8 and len(report.moments) == 2
    assert report.sheet().width == 3 * SIDE


def test_pairs_are_of_different_clips_every_clip_driving_once():
    names = list("abcdef")
    pairs = choose_pairs(names, None, seed=3)
    assert sorted(driving for _, driving in pairs) == list(range(6)) and all(
        source != driving for source, driving in pairs
    )
    assert pairs == choose_pairs(names, None, seed=3) != choose_pairs(names, None, seed=4)
    with pytest.raises(InputError, match="one clip"):
        choose_pairs(["a"], None, 0)
    with pytest.raises(InputError, match="'z'"):
        choose_pairs(names, [("a", "z")], 0)


def test_a_report_is_read_again_as_it_was_written():
    report = evaluate(
        Stub(), KnownShelf({"a": sliding(), "b": sliding(), "c": "gone"}), size=SIDE, name="mine"
    )
    document = json.loads(report.to_json())
    assert document["model"] == "mine" and document["total"]["values"]["l1"] == 0
    assert Report.from_json(report.to_json()) == report


def test_what_is_no_number_is_null_in_json_and_comes_back():
    class Broken(Stub):
        def generate(self, portrait, field):
            return torch.full((len(field), 3, SIDE, SIDE), float("nan"))

    report = evaluate(Broken(), Shelf({"a": sliding()}), size=SIDE)
    assert "NaN" not in report.to_json() and "nan" in report.table()
    assert math.isnan(Report.from_json(report.to_json()).total.values["l1"])
    assert report.moments[0].worth == math.inf and report.sheet().height > SIDE


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other", "version": 1}'])
def test_other_json_is_no_report(text):
    with pytest.raises(InputError):
        Report.from_json(text)


def test_tables_are_aligned_and_hold_what_was_measured():
    reports = [
        evaluate(model, Shelf({"first": sliding(), "second clip": sliding()}), size=SIDE, name=name)
        for model, name in ((Stub(), "x"), (Stub(), "y"))
    ]
    lines = reports[0].table().splitlines()
    assert lines[0] == "x: reconstruction at 48x48, 2 clips, 10 frames"
    assert lines[2].split() == [
        "clip",
        "frames",
        "L1",
        "of",
        "copying",
        "PSNR",
        "dB",
        "SSIM",
        "AKD",
        "px",
    ]
    assert len({len(line) for line in lines[2:6]}) == 1 and lines[5].startswith("all ")
    assert [line.split()[0] for line in compare(reports).splitlines()] == ["model", "x,", "y,"]
    assert "-" in compare([reports[0], replace(reports[1], total=Scores("all", 1, {}))])


def test_the_worst_frames_come_first_not_all_from_one_clip_nor_one_moment():
    class Fading(Stub):
        """Ever darker, and twice as much on dark clips."""

        def generate(self, portrait, field):
            return (
                self.shown
                * torch.linspace(1, 0, 32)[self.at - len(field) : self.at, None, None, None]
            )

    clip = sliding(32, 1)
    model = Fading()
    report = evaluate(model, Shelf({"a": clip}), size=SIDE, batch_size=5)
    assert [moment.frame for moment in report.moments] == [31, 23, 15, 7]
    assert [moment.worth for moment in report.moments] == sorted(
        (moment.worth for moment in report.moments), reverse=True
    )

    class Black(Stub):
        def generate(self, portrait, field):
            return torch.zeros(len(field), 3, SIDE, SIDE)

    shelf = Shelf(
        {name: clip * light for name, light in (("dim", 0.2), ("bright", 1.0), ("middle", 0.5))}
    )
    moments = evaluate(Black(), shelf, size=SIDE).moments
    assert len(moments) == 8 and {moment.clip for moment in moments} == {"dim", "bright", "middle"}
    assert moments[0].clip == "bright" and moments[-1].clip == "dim"
