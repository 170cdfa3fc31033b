"""A clip led by a face whose frames are held, as films of variable rate and drawings on twos have
them: each is looked at and painted once, and the result holds where the clip does.
"""

from pathlib import Path

import torch

import comfyui_motion as motion
from comfyui_motion.networks.face import paint

SAMPLES = Path(__file__).parents[3] / "samples"
TIMES = (1, 3, 1, 2)


def test_held_frames_are_painted_once_and_stay_as_they_are(monkeypatch):
    model, source = motion.load("face"), motion.read_picture(SAMPLES / "source.png")
    frames = motion.read_video(SAMPLES / "driving.mp4", stop=46).frames()[::15]
    clip = frames.repeat_interleave(torch.tensor(TIMES), dim=0)
    painted, plain = [], paint.frames
    monkeypatch.setattr(
        paint, "frames", lambda f, told: (painted.append(len(told)), plain(f, told))[1]
    )
    script = model.rehearse(source, [clip[:3], clip[3:]], 4, None)[1]
    assert script.times == TIMES and len(script) == 7 and script.rest.tolist() == [4] * 7
    points, rest = script.of(torch.tensor([0, 1, 3, 6]))
    assert torch.equal(points[1].position, points[2].position) and len(rest) == 1

    made = torch.cat(list(motion.animate(model, source, clip, size="source", batch_size=3)))
    assert len(made) == 7 and sum(painted) == 4
    assert all(torch.equal(made[i], made[i + 1]) for i in (1, 2, 5))
    assert not torch.equal(made[0], made[1])
    once = torch.cat(list(motion.animate(model, source, frames, size="source", batch_size=3)))
    assert torch.equal(made[[0, 1, 4, 5]], once)
