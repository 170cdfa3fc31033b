"""Pictures that smile already: what the driver does takes the place of it, instead of adding."""

import pytest
import torch

from comfyui_motion import retarget
from comfyui_motion.dials import Dials
from comfyui_motion.networks.face.dialled import dialled
from comfyui_motion.networks.face.keypoints import FaceKeypoints
from comfyui_motion.networks.face.mien import Mien, gaps, give_way, rest_width
from comfyui_motion.networks.face.pose import model_face
from comfyui_motion.networks.face.transfer import Face
from comfyui_motion.networks.face.watch import most_neutral


def faces(*dials: Dials) -> FaceKeypoints:
    """The canonical face, posed, each in a picture of 400 x 400."""
    face = torch.nn.functional.pad(model_face(), (0, 0, 0, 10)) * 12 + 200
    at_rest = FaceKeypoints.placed(
        face[None], torch.tensor([[400.0, 400.0]]), confidence=torch.ones(1, 478)
    )
    made = [dialled(at_rest, one).space() for one in dials]
    return FaceKeypoints.placed(
        torch.cat(made), at_rest.size.expand(len(made), -1), confidence=torch.ones(len(made), 478)
    )


def mouths(keypoints: FaceKeypoints) -> tuple[torch.Tensor, torch.Tensor]:
    """Widths and gaps in eye distances."""
    face = Face.of(keypoints.space())
    return face.mouth_width / face.eyes_apart, gaps(face.shape).amax(1) / face.eyes_apart


GRIN = Dials(smile=1, mouth_wide=0.5, mouth_open=0.35)


def test_a_face_at_rest_does_not_smile():
    mien = Mien.of(Face.of(faces(Dials()).space()))
    assert float(mien.width) == float(mien.lift) == 0


def test_the_width_at_rest_of_a_mouth_that_smiles_is_told():
    smiling, rest = (Face.of(faces(one).space()) for one in (Dials(smile=1), Dials()))
    assert float(smiling.mouth_width) > 1.2 * float(rest.mouth_width)
    assert float(rest_width(smiling)) == pytest.approx(float(rest.mouth_width), rel=0.1)


def test_nothing_gives_way_while_the_driver_rests():
    own = Face.of(faces(GRIN).space())
    still = torch.zeros(2, 478, 3)
    assert torch.equal(give_way(still, own), still)


def test_a_smile_on_a_grin_is_a_grin():
    driver = faces(Dials(), GRIN)
    both = retarget(driver, driver[:1], faces(GRIN))
    (rest, wide), _ = mouths(both)
    assert wide < 1.25 * rest
    calm, grinning = mouths(driver)[0]
    assert wide - rest < 0.6 * (grinning - calm)  # the sum would be all of it


def test_a_grin_draws_together_as_the_driver_purses_his_lips():
    driver = faces(Dials(), Dials(pucker=1))
    pursed = retarget(driver, driver[:1], faces(GRIN))
    widths, open_by = mouths(pursed)
    assert open_by[0] > 0.05
    assert open_by[1] < 0.6 * open_by[0]
    assert widths[1] < 0.85 * widths[0]


def test_a_mouth_gives_way_little_by_little():
    steps = [Dials(pucker=k / 10) for k in range(11)]
    driver = faces(*steps)
    widths, open_by = mouths(retarget(driver, driver[:1], faces(GRIN)))
    assert (widths.diff() < 1e-4).all()
    assert (open_by.diff() < 5e-3).all()
    assert open_by.diff().abs().max() < 0.5 * open_by[0]


def test_the_frame_at_rest_is_no_smile_even_of_somebody_who_smiles_most_of_the_time():
    smiles = [Dials(smile=0.8 + k / 50) for k in range(9)]
    assert most_neutral(faces(*smiles, Dials(), Dials(smile=0.4))) == 9
