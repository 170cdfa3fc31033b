"""LivePortrait: five published files, one portrait that speaks."""

from ...model import Family
from .files import FILES, configure, recognise, rename
from .model import LivePortrait
from .parameters import PUBLISHED

FAMILY = Family(
    name="liveportrait",
    model=LivePortrait,
    published=PUBLISHED,
    recognise=recognise,
    configure=configure,
    rename=rename,
    assumed=("animals", "size"),
    files=FILES,
)

__all__ = ["FAMILY"]
