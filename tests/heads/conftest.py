"""The model of these tests, told where the faces are."""

import pytest

from tests.heads.acting import Finder, untrained


@pytest.fixture(scope="session")
def model():
    return untrained()


@pytest.fixture
def shown(model):
    """shown(pictures, clip): the model, told where the faces are."""

    def tell(pictures, clip=(), moving=None):
        model.finder = lambda: Finder(pictures, list(clip), moving)
        return model

    return tell
