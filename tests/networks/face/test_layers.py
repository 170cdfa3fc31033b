"""Who is in a picture, and what is behind."""

import numpy as np

from comfyui_motion.networks.face.layers import calmed, made_up, seen_in, thin_things

SIDE, APART = 256, 64
SKIN, GOLD, WALL, SIGN = (0.8, 0.6, 0.5), (0.9, 0.7, 0.1), (0.2, 0.25, 0.3), (0.95, 0.95, 0.9)


def scene(letters):
    """Somebody in a disc before a wall, with an earring below it; with letters on the wall."""
    y, x = np.mgrid[:SIDE, :SIDE]
    picture = np.broadcast_to(np.float32(WALL), (SIDE, SIDE, 3)).copy()
    if letters:
        picture[(x // 12) % 3 == 0] = SIGN
    person = (np.hypot(x - 128, y - 128) < 60).astype(np.float32)
    picture[person > 0] = SKIN
    ring = np.hypot(x - 190, y - 150) < 5
    picture[ring] = GOLD
    return picture, person, ring


def test_an_earring_is_somebodys_and_the_letters_behind_them_are_not():
    picture, person, ring = scene(letters=False)
    assert thin_things(picture, person, APART)[ring].mean() > 0.5
    picture, person, ring = scene(letters=True)
    found = thin_things(picture, person, APART)
    assert found[(picture == np.float32(SIGN)).all(-1)].mean() < 0.02


def test_a_colour_is_common_where_it_fills_a_part():
    picture, person, ring = scene(letters=True)
    common = seen_in(picture, person == 0)
    assert common[person == 0][~ring[person == 0]].all() and not common[ring].any()


def test_what_is_made_up_shows_no_rim_of_who_stood_there():
    picture, person, ring = scene(letters=False)
    picture[ring] = WALL
    y, x = np.mgrid[:SIDE, :SIDE]
    picture[np.abs(np.hypot(x - 128, y - 128) - 60) < 1.5] = 0  # hair, half of it beyond the mask
    made = made_up(picture, person)
    assert np.abs(made - np.float32(WALL)).max() < 0.15  # a rim left there would be 0.3


def test_streaks_are_calmed_in_the_depth_and_kept_at_the_edge():
    rng = np.random.default_rng(0)
    filled = rng.random((80, 80, 3), np.float32)
    hidden = np.zeros((80, 80), np.uint8)
    hidden[10:70, 10:70] = 1
    made = calmed(filled, hidden)
    assert np.array_equal(made[:10], filled[:10])
    assert made[35:45, 35:45].std() < 0.3 * filled[35:45, 35:45].std()
