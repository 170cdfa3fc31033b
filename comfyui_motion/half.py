"""What a file is that holds some of a known family's networks and not all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from .doors.words import listed
from .model import Family

LIKE = 0.6  # of a file's names, that are a network's


def half_of(tensors: Mapping[str, Tensor], kinds: Iterable[Family]) -> str | None:
    """In words: "the generator of a fomm model and lacks its kp_detector". None where nothing is
    alike.
    """
    found, best = None, 0
    for kind in kinds:
        if kind.files:  # which says itself what is missing
            continue
        wanted = _networks(kind)
        there = {name: _alike(tensors, f"{name}.", names) for name, names in wanted.items()}
        alone = {name: _alike(tensors, "", names) for name, names in wanted.items()}
        lacking = [name for name, count in there.items() if not count]
        if sum(there.values()) > best and lacking:
            best, has = sum(there.values()), [name for name in there if there[name]]
            found = (
                f"the {listed(has)} of a {kind.name} model and lacks its {listed(lacking)}; a"
                " checkpoint has all of a model's networks in one file"
            )
        name = max(alone, key=lambda each: alone[each])
        if alone[name] > best:
            best = alone[name]
            found = (
                f"the {name} of a {kind.name} model alone; a checkpoint has all of a model's"
                f" networks ({listed(wanted)}) by name in one file"
            )
    return found


def _networks(kind: Family) -> dict[str, set[str]]:
    """The tensors' names of each network, as published."""
    with torch.device("meta"):
        model = kind.model(kind.published)
    found: dict[str, set[str]] = {}
    for name in model.state_dict():
        network, _, rest = name.partition(".")
        found.setdefault(network, set()).add(rest)
    return found


def _alike(tensors: Mapping[str, Tensor], prefix: str, names: set[str]) -> int:
    """How many tensors below `prefix` are a network's; 0 if most are not."""
    below = {name[len(prefix) :] for name in tensors if name.startswith(prefix)}
    shared = len(below & names)
    return shared if shared >= LIKE * len(below) else 0
