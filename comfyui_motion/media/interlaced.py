"""Interlaced films (television, DV, camcorders): each frame is two half pictures of two moments,
and shows combs where something moves. FFmpeg's bwdif makes them whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from .remarks import Remarks

# a frame for a frame, of its first half's moment; those that are whole stay as they are
FILTER, HOW = "bwdif", "mode=send_frame:parity=auto:deint=interlaced"
LEAST = 4  # lines and columns of what it takes


def made_whole(frames: Iterable[Any], remarks: Remarks) -> Iterator[Any]:
    """Decoded frames, from the first interlaced one on filtered: one later, as many as before."""
    graph: Any = None
    shape: Any = None
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        if (frame.width, frame.height, frame.format.name) != shape:
            yield from _rest(graph)
            shape = frame.width, frame.height, frame.format.name
            graph = _graph(frame) if min(frame.width, frame.height) >= LEAST else None
            if graph is not None:
                remarks.say(
                    f"{remarks.path.name} is interlaced (two half pictures a frame): each frame"
                    " shows the moment of its first half."
                )
        if graph is None:
            yield frame
            continue
        graph.vpush(frame)
        yield from _ready(graph)
    yield from _rest(graph)


def _graph(frame: Any) -> Any:
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base,
    )
    graph.link_nodes(source, graph.add(FILTER, HOW), graph.add("buffersink")).configure()
    return graph


def _ready(graph: Any) -> Iterator[Any]:
    from av.error import BlockingIOError as NothingYet
    from av.error import EOFError as AtTheEnd

    with suppress(NothingYet, AtTheEnd):
        while True:
            yield graph.vpull()


def _rest(graph: Any) -> Iterator[Any]:
    if graph is not None:
        graph.vpush(None)
        yield from _ready(graph)
