"""What the hostile tests share: files that mean harm, and what counts as an answer."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import comfyui_motion as motion


@pytest.fixture(scope="session")
def mutants() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "hostile_mutants", Path(__file__).with_name("mutants.py")
    )
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def refused() -> Callable[..., str]:
    """refused(work): the sentence that it ends in. What is no sentence fails the test."""

    def sentence(work: Callable[[], Any], kind: type[Exception] = motion.MotionError) -> str:
        with pytest.raises(kind) as caught:
            work()
        said = str(caught.value)
        assert said.isprintable() and len(said) <= 1000 and "<" not in said, said[:200]
        return said

    return sentence
