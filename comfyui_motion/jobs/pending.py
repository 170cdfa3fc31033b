"""What was asked of a server and not fetched yet, kept beside the results to come: whoever is
stopped in between goes on waiting for it, and the server does nothing twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..media.files import write_text

NAME = ".asked.json"


@dataclass(frozen=True)
class Asked:
    """A prompt that a server has: `of` tells it from others."""

    address: str
    number: str
    of: str

    @staticmethod
    def read(folder: Path) -> Asked | None:
        """What was asked for that folder and not fetched."""
        try:
            told = json.loads((folder / NAME).read_text(encoding="utf-8"))
            asked = Asked(told["address"], told["number"], told["of"])
        except (OSError, ValueError, TypeError, LookupError):
            return None
        return asked if all(isinstance(v, str) for v in asdict(asked).values()) else None

    def keep(self, folder: Path) -> None:
        write_text(folder / NAME, json.dumps(asdict(self)))

    @staticmethod
    def forget(folder: Path) -> None:
        (folder / NAME).unlink(missing_ok=True)


def digest(prompt: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(prompt, sort_keys=True).encode()).hexdigest()
