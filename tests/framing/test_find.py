"""Finding a subject: exact on drawn dots, which a stand-in for a learned detector sees."""

import math

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import InputError
from comfyui_motion.framing.find import (
    best_pose,
    clip_box,
    find_subject,
    follow_subject,
    in_pixels,
)


def smooth(height: int, width: int) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.nn.functional.interpolate(
        torch.rand(1, 3, 9, 12), size=(height, width), mode="bicubic"
    ).clamp(0, 1)


@pytest.mark.parametrize(
    ("height", "width", "x", "y", "scale"),
    [
        (300, 300, 150, 150, 40),
        (480, 270, 90, 130, 14),
        (200, 420, 330, 90, 25),
        (256, 256, 128, 150, 46),
        (900, 700, 500, 260, 60),
    ],
    ids=["middle", "small in a tall one", "aside in a wide one", "filling it", "large picture"],
)
def test_a_subject_is_found_wherever_it_lies(face, height, width, x, y, scale):
    wanted = face.points(x, y, scale)
    found = find_subject(face.finder(), face.draw(height, width, wanted))
    assert found is not None and found.confidence > 0.5
    core = slice(0, 17)
    assert (found.points - wanted)[core].norm(dim=1).max() < 0.07 * scale
    left, top, right, bottom = found.box
    assert_close(torch.tensor([left, top]), wanted[core].amin(0), atol=0.07 * scale, rtol=0)
    assert_close(torch.tensor([right, bottom]), wanted[core].amax(0), atol=0.07 * scale, rtol=0)


def test_keypoints_are_the_picture_s_own(face):
    found = find_subject(face.finder(), face.draw(200, 300, face.points(160, 90, 25)))
    assert found is not None and len(found.keypoints) == 1
    corner = torch.tensor([299.0, 199.0])  # the centre of the last pixel
    assert_close((found.keypoints.position[0] + 1) / 2 * corner + 0.5, found.points)


@pytest.mark.parametrize("ground", ["plain", "noise", "smooth", "edges"])
def test_where_there_is_no_subject_none_is_found(face, ground):
    torch.manual_seed(0)
    stripes = (torch.arange(200) // 13 % 2).float().expand(1, 3, 150, 200)
    grounds = {
        "plain": torch.full((1, 3, 150, 200), 0.6),
        "noise": torch.rand(1, 3, 150, 200),
        "smooth": smooth(150, 200),
        "edges": stripes,
    }
    assert find_subject(face.finder(64), grounds[ground]) is None
    assert (
        found := find_subject(face.finder(64), grounds[ground], least=0)
    ) is not None and found.confidence < 0.4


@pytest.mark.parametrize("size", [(1, 1), (4, 400), (30, 20)])
def test_in_a_tiny_picture_nothing_is_found_and_not_for_long(face, size):
    finder = face.finder(32)
    assert find_subject(finder, torch.full((1, 1, *size), 0.6)) is None
    assert finder.seen < 400


def test_what_is_upside_down_is_no_face(face):
    picture = face.draw(200, 200, face.points(100, 100, 25)).flip(2)
    assert find_subject(face.finder(), picture) is None


def test_a_tilted_face_is_one(face):
    turn = torch.tensor([[math.cos(0.4), -math.sin(0.4)], [math.sin(0.4), math.cos(0.4)]])
    wanted = face.points(0, 0, 25) @ turn.T + torch.tensor([120.0, 110.0])
    found = find_subject(face.finder(), face.draw(200, 240, wanted))
    assert found is not None and (found.points - wanted)[:14].norm(dim=1).max() < 2


def test_a_box_chooses_among_several(face):
    picture = face.draw(200, 400, face.points(100, 100, 22))
    picture = face.draw(200, 400, face.points(300, 100, 22), picture)
    for x, box in ((100, (0, 0, 200, 200)), (300, (200, 0, 400, 200))):
        found = find_subject(face.finder(), picture, within=box)
        assert found is not None and (found.width, found.height) == (400, 200)
        assert_close(found.points[:14], face.points(x, 100, 22)[:14], atol=1.5, rtol=0)


def test_a_model_of_whose_points_nothing_is_known_finds_its_subject_too(dots):
    rest = torch.tensor(
        [[-1.0, -1.0], [1.0, -1.0], [0.2, 0.0], [-1.0, 0.8], [1.0, 1.0], [0.0, 1.6]]
    )
    thing = dots(rest)
    wanted = thing.points(230, 80, 20)
    found = find_subject(thing.finder(), thing.draw(160, 320, wanted))
    assert found is not None
    assert_close(found.points, wanted, atol=1.0, rtol=0)
    assert find_subject(thing.finder(), torch.full((1, 3, 160, 320), 0.5)) is None


def test_points_that_others_hide_are_not_believed(face):
    wanted = face.points(150, 150, 40)
    picture = face.draw(300, 300, wanted)
    x, y = wanted[12].round().int().tolist()  # the chin
    picture[..., y - 6 : y + 6, x - 6 : x + 6] = 0
    found = find_subject(face.finder(), picture)
    assert found is not None and found.keypoints.confidence is not None
    belief = found.keypoints.confidence[0]
    assert belief[12] < 0.2 and belief[:12].min() > 0.8


def clip_of(face, places, height=200, width=240):
    return torch.cat([face.draw(height, width, points) for points in places])


def test_a_subject_is_followed_through_a_clip(face):
    places = [face.points(100 + 6 * i, 100 - 3 * i, 22 + i) for i in range(5)]
    clip, finder = clip_of(face, places), face.finder()
    subject = find_subject(finder, clip[:1])
    assert subject is not None
    poses = in_pixels(follow_subject(finder, clip, subject), 200, 240)
    assert_close(poses[:, :14], torch.stack(places)[:, :14], atol=2.0, rtol=0)


def test_the_box_of_a_clip_holds_its_subject_in_every_frame(face):
    places = [face.points(100 + 8 * i, 100, 20) for i in range(4)]
    box = clip_box(face.finder(), clip_of(face, places))
    assert box is not None
    every = torch.stack(places)[:, :17].flatten(0, 1)
    assert_close(torch.tensor(box), torch.cat([every.amin(0), every.amax(0)]), atol=2.5, rtol=0)
    assert clip_box(face.finder(64), smooth(100, 100).expand(3, -1, -1, -1)) is None


def test_the_frame_posed_like_the_subject_is_found_whatever_place_and_size(face):
    def smiling(points, much):
        return (
            points
            + much * torch.eye(20)[:, 8:9] * torch.tensor([-9.0, -6.0])
            + much * torch.eye(20)[:, 9:10] * torch.tensor([9.0, -6.0])
        )

    places = [smiling(face.points(100 + 5 * i, 100, 22), i / 4) for i in range(5)]
    clip, finder = clip_of(face, places), face.finder()
    driver = find_subject(finder, clip[:1])
    alike = find_subject(
        finder,
        face.draw(
            300, 200, smiling(face.points(0, 0, 22), 0.75) * 1.3 + torch.tensor([100.0, 160.0])
        ),
    )
    assert driver is not None and alike is not None
    assert best_pose(follow_subject(finder, clip, driver), alike, 200, 240) == 3


def test_flow_has_no_points_to_find_a_subject_with():
    with pytest.raises(InputError, match="keypoints of its own"):
        find_subject(motion.load(), torch.rand(1, 3, 50, 50))


def test_the_model_we_ship_finds_drawn_faces_it_never_saw_small_and_aside():
    from comfyui_motion.data.puppets.clips import UNSEEN, puppet_clip
    from comfyui_motion.framing.landmarks import FACE

    finder, core = motion.load("puppets", device="cpu", speed="float32"), list(FACE.core)
    errors, believed = [], []
    for i, (left, top) in enumerate([(10, 150), (180, 20), (200, 180)]):
        clip = puppet_clip(UNSEEN + 203 + 3 * i, frames=1, size=256, kind="face")
        small = torch.nn.functional.interpolate(
            clip.frames, size=(180, 180), mode="bilinear", antialias=True
        )
        picture = torch.full((1, 3, 380, 400), 0.4)
        picture[..., top : top + 180, left : left + 180] = small
        found = find_subject(finder, picture, least=0)
        wanted = in_pixels(clip.joints, 256, 256)[0] * 180 / 256 + torch.tensor([left, top])
        assert found is not None
        # of the head's height
        errors.append(
            float(
                (found.points - wanted)[core].norm(dim=1).mean() / (wanted[12] - wanted[16]).norm()
            )
        )
        believed.append(found.confidence)
    assert sorted(errors)[1] < 0.05 and sorted(believed)[1] > 0.6, (errors, believed)


def test_the_model_we_ship_finds_nothing_in_scenery():
    finder = motion.load("puppets", device="cpu", speed="float32")
    assert find_subject(finder, smooth(120, 160)) is None
