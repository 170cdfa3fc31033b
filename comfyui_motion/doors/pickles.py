"""What a pickle would do and cost, known without doing it.

torch's weights-only unpickler runs no code, but builds whatever it is told to, of any size. Here
its instructions are followed on tokens in place of values: what is named, called and claimed is
checked against what `torch.save` writes of networks and training states, and against the file's
size. Nothing is built.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import IO, Any, TypeGuard

from ..errors import CheckpointError, UnsafeCheckpoint
from .documents import is_list
from .limits import how_to_raise, limits
from .names import (
    ELEMENT,
    HARMLESS,
    OTHERS,
    PARAMETERS,
    REBUILDS,
    SETS,
    SETTINGS,
    TENSORS_OF_OTHER_KINDS,
    modern,
    of_a_program,
)
from .words import shown

INSTRUCTIONS_A_TENSOR = 50  # published files have under 20
# what torch's unpickler knows; the others are followed for their names alone
KNOWN = frozenset(
    "GLOBAL NEWOBJ REDUCE BUILD APPEND APPENDS SETITEM SETITEMS MARK TUPLE TUPLE1 TUPLE2 TUPLE3"
    " NONE"
    " NEWFALSE NEWTRUE EMPTY_TUPLE EMPTY_LIST EMPTY_DICT BININT BININT1 BININT2 BINFLOAT BINUNICODE"
    " SHORT_BINSTRING BINPERSID BINGET LONG_BINGET BINPUT LONG_BINPUT LONG1 PROTO STOP".split()
)


@dataclass(frozen=True, eq=False)
class Named:
    """A class or function, by "module name"."""

    name: str


@dataclass(frozen=True, eq=False)
class Made:
    """A value that is known only by its kind: "table", "tensor", "storage", "object" (a setting, or
    some program's own), "other".
    """

    kind: str
    bytes: int = 0
    elements: int = 0
    name: str = ""  # of an object's class


class Mark:
    """Where a group of values begins."""


Token = Any  # Named, Made, or the value itself: int, float, str, bytes, bool, None, tuple, list


class Survey:
    """A file's pickles, followed to their ends one after the other."""

    def __init__(self, file_name: str, file_size: int) -> None:
        self.name, self.size = file_name, file_size
        self.most = int(limits().tensors)
        self.storages: dict[Token, Made] = {}
        self.tensors, self.claimed, self.stored = 0, 0, 0
        self.objects: set[str] = set()  # classes that something harmless stands in for
        self.tables: set[str] = set()  # those of them that are filled like dictionaries
        self.foreign: str | None = None  # an instruction that torch.save does not write
        self.stack: list[Token] = []
        self.memo: dict[int, Token] = {}

    def follow(self, file: IO[bytes]) -> None:
        """To the instruction that ends it. Raises CheckpointError."""
        self.stack, self.memo = [], {}
        count = 0
        try:
            for instruction, argument, _ in pickletools.genops(file):
                count += 1
                if count > INSTRUCTIONS_A_TENSOR * self.most:
                    raise self.too_much("instructions", count / INSTRUCTIONS_A_TENSOR)
                self.step(instruction.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
            raise self.damaged() from error
        if self.foreign:
            raise CheckpointError(
                f"{self.name} is a pickle that PyTorch did not write ({self.foreign}); save the"
                " weights with torch.save or as safetensors."
            )

    def step(self, name: str, argument: Any) -> None:
        if name not in KNOWN:
            self.foreign = self.foreign or name
        act = getattr(self, f"on_{name.lower()}", None)
        if act is not None:
            act(argument)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            self.stack[-count:] = [tuple(self.stack[-count:])]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[int(argument)])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[int(argument)] = self.stack[-1]
        elif name in SIMPLE:
            self.stack.append(SIMPLE[name]())
        elif name not in ("PROTO", "STOP", "FRAME"):
            self.stack.append(argument)

    def on_mark(self, _: Any) -> None:
        self.stack.append(Mark)

    def on_pop(self, _: Any) -> None:
        self.stack.pop()

    def on_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def on_global(self, argument: str) -> None:
        self.stack.append(self.named(argument))

    on_inst = on_global

    def on_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self.named(f"{module} {name}"))

    def on_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.group()))

    def on_append(self, _: Any) -> None:
        value = self.stack.pop()
        self.extend([value])

    def on_appends(self, _: Any) -> None:
        self.extend(self.group())

    def extend(self, values: list[Token]) -> None:
        top = self.stack[-1]
        if not is_list(top):
            raise self.damaged()
        top.extend(values)

    def on_setitem(self, _: Any) -> None:
        _, key = self.stack.pop(), self.stack.pop()
        self.check_keys([key])

    def on_setitems(self, _: Any) -> None:
        self.check_keys(self.group()[::2])

    def check_keys(self, keys: list[Token]) -> None:
        """Names and numbers, in a table: a key of another kind could take for ever to look up."""
        top = self.stack[-1]
        if not _plain(keys) or not isinstance(top, Made) or top.kind not in ("table", "object"):
            raise self.damaged()
        if top.name:
            self.tables.add(top.name)

    def on_binpersid(self, _: Any) -> None:
        told = self.stack.pop()  # ("storage", kind, key, device, elements, view of another)
        if _is_tuple(told) and told and told[0] in ("module", b"module"):
            raise CheckpointError(
                f"{self.name} holds whole modules of a program that is not here, in the old format;"
                " where it was made, save their state_dict()."
            )
        if not _is_tuple(told) or len(told) < 5 or told[0] not in ("storage", b"storage"):
            raise self.damaged()
        kind, key, elements = told[1], told[2], told[4]
        if not isinstance(kind, Named) or kind.name not in ELEMENT:
            raise self.refused(kind.name if isinstance(kind, Named) else "a storage of no kind")
        if type(elements) is not int or elements < 0 or not isinstance(key, (str, bytes, int)):
            raise self.damaged()
        made = Made("storage", elements * ELEMENT[kind.name], elements)
        before = self.storages.setdefault(key, made)
        if (before.bytes, before.elements) != (made.bytes, made.elements):
            raise self.damaged()
        if before is made:
            self.stored += made.bytes
        if self.stored > self.size:
            raise CheckpointError(
                f"{self.name} has {self.size} bytes and says it holds {self.stored} bytes of"
                " weights or more; it is damaged or was made to mislead: download it again."
            )
        self.stack.append(before)

    def on_reduce(self, _: Any) -> None:
        self.call(new=False)

    def on_newobj(self, _: Any) -> None:
        self.call(new=True)

    def call(self, new: bool) -> None:
        """`new`: an object of a class, without what the class does when it is called."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Named) or not _is_tuple(arguments):
            raise self.damaged()
        if new and of_a_program(function.name) and function.name not in HARMLESS:
            self.stack.append(Made("object", name=function.name))
        else:
            self.stack.append(self.called(function.name, arguments))

    def on_build(self, _: Any) -> None:
        self.stack.pop()
        if not _is(self.stack[-1], "table") and not _is(self.stack[-1], "object"):
            raise self.damaged()

    def called(self, name: str, arguments: tuple[Token, ...]) -> Made:
        """What the call gives, where its arguments are as torch.save writes them."""
        if name in REBUILDS:
            return self.tensor(*arguments[:3])
        if name in PARAMETERS and arguments and _is(arguments[0], "tensor"):
            return arguments[0]
        if name == "collections OrderedDict" and len(arguments) < 2:
            table = Made("table")
            self.stack.append(table)
            self.check_keys([pair[0] for pairs in arguments for pair in pairs])
            self.stack.pop()
            return table
        if name == "collections Counter" and all(_is(given, "table") for given in arguments):
            return Made("table")
        if name in OTHERS:
            return Made("other")
        if name in SETS and not all(is_list(given) and _plain(given) for given in arguments):
            raise self.damaged()
        if name in SETTINGS:
            return Made("object", name=name)
        raise self.refused(name)

    def tensor(self, storage: Token, offset: Token, size: Token) -> Made:
        """A tensor's numbers lie in its storage, each once."""
        if not _is(storage, "storage") or type(offset) is not int or not _is_tuple(size):
            raise self.damaged()
        numbers = 1
        for side in size:
            if type(side) is not int or side < 0:
                raise self.damaged()
            numbers *= side
        if numbers > storage.elements:
            raise CheckpointError(
                f"{self.name} holds a tensor that says it has {shown(numbers)} numbers, of which"
                f" {storage.elements} are in the file; save it whole with torch.save."
            )
        self.tensors += 1
        self.claimed += numbers * (storage.bytes // storage.elements if storage.elements else 0)
        if self.tensors > self.most:
            raise self.too_much("tensors", self.tensors)
        if self.claimed > 4 * self.size + 2**20:
            raise CheckpointError(
                f"{self.name} holds the same numbers many times over, {self.claimed} bytes and"
                f" more in a file of {self.size}; save each tensor once."
            )
        return Made("tensor")

    def group(self) -> list[Token]:
        """What came since the last mark, which goes with it."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is Mark:
                values = self.stack[place + 1 :]
                del self.stack[place:]
                return values
        raise self.damaged()

    def named(self, name: str) -> Named:
        now = modern(name)
        if now in SETTINGS or of_a_program(now) and now not in HARMLESS:
            self.objects.add(now)
        elif now not in HARMLESS:
            raise self.refused(name)
        return Named(now)

    def refused(self, name: str) -> CheckpointError:
        dotted = shown(name.replace(" ", "."))
        if name.startswith(TENSORS_OF_OTHER_KINDS) or name in HARMLESS or " " not in name:
            return CheckpointError(
                f"{self.name} holds tensors that are no weights ({dotted}): sparse, quantised,"
                " without storage, or otherwise than torch.save writes a network's; save plain"
                " tensors."
            )
        return UnsafeCheckpoint(
            f"{self.name} names code to run when opened ({dotted}), so it was not opened; get it"
            " from its authors, or ask whoever made it for a safetensors file, which holds tensors"
            " alone."
        )

    def damaged(self) -> CheckpointError:
        return CheckpointError(
            f"{self.name} is not a checkpoint that PyTorch wrote, or it is damaged; download it"
            " again."
        )

    def too_much(self, what: str, needed: float) -> CheckpointError:
        return CheckpointError(
            f"{self.name} holds more {what} than a checkpoint of {self.most} tensors needs, and"
            f" would take long to open: {how_to_raise('tensors', 2 * needed)}."
        )


SIMPLE: dict[str, Any] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": lambda: Made("table"),
    "EMPTY_SET": lambda: Made("other"),
}


def _is_tuple(token: Token) -> TypeGuard[tuple[Token, ...]]:
    return isinstance(token, tuple)


def _is(token: Token, kind: str) -> bool:
    return isinstance(token, Made) and token.kind == kind


def _plain(keys: list[Token]) -> bool:
    """Names, numbers and classes, which are quick to look up."""
    return all(
        key is None
        or isinstance(key, (str, bytes, bool, Named))
        or isinstance(key, int)
        and abs(key) < 2**60
        for key in keys
    )
