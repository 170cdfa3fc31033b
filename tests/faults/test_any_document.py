"""Documents that were changed by hand, cut off, or made up: each opens as what it says, or is
refused in one sentence.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from comfyui_motion import InputError, Keypoints
from comfyui_motion.dials import Dials
from comfyui_motion.edits import Edits
from comfyui_motion.evaluation.report import Report
from comfyui_motion.jobs.job import Job
from comfyui_motion.jobs.table import read_jobs
from comfyui_motion.networks.face.keypoints import FaceKeypoints
from comfyui_motion.posed import PosedKeypoints
from comfyui_motion.poses import Poses

pytestmark = pytest.mark.many

LETTERS = 'az09 "{}[],:.-+eE\\\n\t\0\u00e9\u2028\ud800\U0001f600'
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 1, 2, 3, 10**6, 10**30, "1", "", "keys", [], {}, [[]], [None]]),
    st.floats(),
    st.text(LETTERS, max_size=5),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(LETTERS, max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def some(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


def keypoints() -> list[Keypoints]:
    plain = Keypoints(some(2, 3, 2), jacobian=some(2, 3, 2, 2))
    posed = PosedKeypoints.placed(
        canonical=some(2, 4, 3),
        expression=some(2, 4, 3),
        rotation=some(2, 3),
        scale=1 + some(2),
        translation=some(2, 3),
    )
    face = FaceKeypoints.placed(
        100 * some(2, 478, 3),
        torch.tensor([[120.0, 90.0]]),
        confidence=torch.ones(2, 478),
        mouth=some(2, 2, 4, 6),
        light=some(2, 1, 5, 5),
    )
    return [plain, posed, face]


KEYPOINTS = keypoints()
WRITTEN = {
    "plain": (Keypoints.from_json, KEYPOINTS[0].to_json()),
    "posed": (Keypoints.from_json, KEYPOINTS[1].to_json()),
    "face": (Keypoints.from_json, KEYPOINTS[2].to_json()),
    "edits": (
        Edits.from_json,
        Edits({0: {0: (0.1, 0.2), 5: (0.3, 0.4)}}, frozenset({1}), frozenset({2})).to_json(),
    ),
    "poses": (Poses.from_json, Poses({0: Dials(), 9: Dials(smile=0.5)}, {"a": Dials()}).to_json()),
}


def places(part: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every way to a part of a document; of long lists the first few."""
    if isinstance(part, dict):
        inner = list(part.items())
    else:
        inner = list(enumerate(part[:3])) if isinstance(part, list) else []
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


@st.composite
def changed(draw, text: str) -> str:
    """The document with a part replaced, left out, doubled, or its text cut off or disturbed."""
    how = draw(
        st.sampled_from(["replace", "replace", "replace", "drop", "double", "cut", "disturb"])
    )
    if how == "cut":
        return text[: draw(st.integers(0, len(text)))]
    if how == "disturb":
        at = draw(st.integers(0, len(text) - 1))
        return text[:at] + draw(st.text(LETTERS, max_size=3)) + text[at + draw(st.integers(0, 3)) :]
    document = json.loads(text)
    path = draw(st.sampled_from(places(document)))
    if not path:
        return json.dumps(draw(ANYTHING))
    part = document
    for key in path[:-1]:
        part = part[key]
    if how == "drop":
        del part[path[-1]]
    elif how == "double":
        again = copy.deepcopy(part[path[-1]])
        part[path[-1]] = [again, again]
    else:
        part[path[-1]] = draw(ANYTHING)
    return json.dumps(document)


@pytest.mark.parametrize("kind", WRITTEN)
@given(data=st.data())
def test_a_changed_document_opens_or_is_refused_in_a_sentence(kind, data):
    read, text = WRITTEN[kind]
    try:
        opened = read(data.draw(changed(text)))
    except InputError as error:
        said = str(error)
        assert "\n" not in said and len(said) < 1000 and said.endswith((".", ")"))
        return
    again = read(opened.to_json())
    assert type(again) is type(opened)
    if isinstance(opened, Keypoints):
        assert opened.position.isfinite().all()
        assert_close(again.position, opened.position, atol=1e-4, rtol=1e-4)


@given(data=st.data())
def test_any_plain_points_come_back_from_their_document(data):
    frames, points = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    numbers = st.floats(-10, 10, width=32)
    values = data.draw(
        st.lists(numbers, min_size=frames * points * 2, max_size=frames * points * 2)
    )
    made = Keypoints(torch.tensor(values).view(frames, points, 2))
    assert torch.equal(Keypoints.from_json(made.to_json()).position, made.position)
    rounded = Keypoints.from_json(made.to_json(decimals=3)).position
    assert_close(rounded, made.position, atol=6e-4, rtol=0)


@given(seed=st.integers(0, 2**31), frames=st.integers(1, 4))
def test_any_face_comes_back_from_its_document(seed, frames):
    generator = torch.Generator().manual_seed(seed)
    points = 200 * torch.rand(frames, 478, 3, generator=generator) - 50
    made = FaceKeypoints.placed(
        points, torch.tensor([[160.0, 90.0]]), confidence=torch.ones(frames, 478)
    )
    back = Keypoints.from_json(made.to_json())
    assert isinstance(back, FaceKeypoints)
    assert torch.equal(back.position, made.position) and torch.equal(back.depth, made.depth)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@given(data=st.data())
def test_a_table_of_anything_is_jobs_or_a_sentence(tmp_path_factory, suffix, data):
    path = tmp_path_factory.mktemp("table") / f"jobs{suffix}"
    row = json.dumps({"source": "a.png", "driving": "b.mp4"})
    lines = st.sampled_from(["source,driving", "a.png,b.mp4", row, "", '"a', "a\tb"])
    text = "\n".join(data.draw(st.lists(lines | st.text(LETTERS, max_size=8), max_size=5)))
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    def job(name: str, values: Any) -> Job:
        return Job(name, (), (), {key: str(value) for key, value in values.items()})

    try:
        jobs = read_jobs(path, job)
    except InputError as error:
        assert len(str(error)) < 1000
        return
    assert jobs and all(isinstance(made, Job) for made in jobs)


@given(text=st.text(LETTERS, max_size=40) | ANYTHING.map(lambda value: json.dumps(value)))
def test_what_is_no_document_is_none(text):
    for read in (Keypoints.from_json, Report.from_json):
        with pytest.raises(InputError):
            read(text)
    for read in (Edits.from_json, Poses.from_json):
        if text.strip():
            with pytest.raises(InputError):
                read(text)
