"""What the nodes remember of pictures they have seen."""

import importlib.util
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[1] / "nodes" / "remember.py"


@pytest.fixture(scope="module")
def remember():
    spec = importlib.util.spec_from_file_location("remember", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True, eq=False)
class Found:
    points: torch.Tensor


class Finder:
    """Counts how often it is asked."""

    family, finder, device = "face", None, torch.device("cpu")

    def __init__(self):
        self.asked = []

    def faces(self, picture):
        self.asked.append("faces")
        return [Found(picture.mean((2, 3)))]

    def follow(self, clip, near=None):
        self.asked.append("follow")
        return Found(torch.cat([frames.mean((2, 3)) for frames in clip]))


def remembering(remember, model, most=2**20):
    return remember.Remembering(model, remember.Memory(most), nullcontext)


def test_faces_are_looked_for_once_a_picture(remember):
    seen = remembering(remember, finder := Finder())
    picture = torch.rand(1, 3, 8, 8)
    first = seen.faces(picture)
    assert seen.faces(picture.clone())[0] is first[0]
    assert finder.asked == ["faces"]
    assert seen.faces(picture.flip(3) + 0.1)[0] is not first[0]


def test_a_face_is_followed_once_a_clip_and_a_face_meant(remember):
    seen = remembering(remember, finder := Finder())
    clip, near = list(torch.rand(2, 4, 3, 8, 8)), torch.rand(478, 3)
    assert seen.follow(clip) is seen.follow([frames.clone() for frames in clip])
    seen.follow(clip, near)
    seen.follow(clip[:1])
    assert len(finder.asked) == 3


def test_the_finder_of_a_model_remembers_with_it(remember):
    finder = Finder()
    model = Finder()
    model.finder = lambda: finder
    seen = remembering(remember, model)
    picture = torch.rand(1, 3, 8, 8)
    for _ in range(3):
        seen.finder().faces(picture)
    assert finder.asked == ["faces"] and not model.asked


def test_the_memory_has_an_end(remember):
    memory = remember.Memory(most=4 * 100)
    for key in range(9):
        memory.recall(key, lambda: Found(torch.zeros(30)))
    assert memory.held <= 400 and len(memory._kept) == 3
    asked = []
    memory.recall(8, lambda: asked.append(8))
    memory.recall(0, lambda: asked.append(0))
    assert asked == [0]
