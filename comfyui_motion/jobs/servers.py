"""Jobs over ComfyUI servers, by their HTTP interface: a workflow, a row of values for it, results.

A row's column "12.image" is input `image` of node 12 in a workflow saved by Export (API). Values
that name a file are uploaded first. Needs nothing but the standard library.
"""

from __future__ import annotations

import json
import mimetypes
import queue
import shutil
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..doors.documents import read_json, read_text
from ..doors.words import shown
from ..errors import InputError, MotionError
from ..media.files import made_folder, writing, written_whole
from .job import Job, Outcome
from .pending import Asked, digest
from .table import Row

IDLE = 0.2  # seconds that a server without a job waits for one
POLL = 0.5  # seconds between two questions whether a prompt is done
ANSWER = 30.0  # seconds that a server may take to answer one request
LOOKS = 10  # such questions, after which it is asked whether it still knows of the prompt
TRIES = 2  # of a job that a server forgot, as one does that was started again
ASKED = 4  # times that a server which answers late is asked how far it is, before it is given up


class Unreachable(MotionError):
    """A server does not answer."""


class Forgotten(MotionError):
    """A server that was started again knows nothing of a prompt."""


class Late(Unreachable):
    """A server did not answer in time; it may yet."""


def read_workflow(path: str | Path) -> dict[str, Any]:
    """A workflow in API format. Raises InputError, also for one in the page's own format."""
    advice = "save it by Export (API)"
    text = read_text(Path(path), InputError, advice)
    workflow = read_json(text, InputError, f"The workflow {path}", advice)
    if isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list):
        raise InputError(f"{path} is a workflow as the page saves it; use Export (API) there.")
    nodes = workflow.values() if isinstance(workflow, dict) else [None]
    if not workflow or not all(
        isinstance(n, dict) and "class_type" in n and isinstance(n.get("inputs", {}), dict)
        for n in nodes
    ):
        raise InputError(f"{path} is no workflow in API format: a JSON object of nodes is wanted.")
    return workflow


def job_of_row(workflow: Mapping[str, Any], beside: Path, folder: Path, name: str, row: Row) -> Job:
    """A row as a job that writes into a folder of its own, below `folder`. Files are named relative
    to `beside`. Raises InputError for an input that the workflow has not.
    """
    values, reads = {}, []
    for column, value in row.items():
        node, dot, field = column.partition(".")
        if not dot or node not in workflow:
            known = ", ".join(list(workflow)[:20])
            raise InputError(
                f"column {column!r} must be NODE.INPUT, such as 12.image; the workflow's nodes are"
                f" {known}."
            )
        present = workflow[node].get("inputs", {}).get(field)
        path = beside / value if isinstance(value, str) and value else None
        if path is not None and path.is_file():
            reads.append(path)
            values[column] = path
        else:
            values[column] = _like(present, value, column)
    return Job(name, tuple(reads), (folder / name.replace(" ", "-"),), values)


def _like(present: Any, value: Any, column: str) -> Any:
    """A table's text as the kind of value that the workflow has there."""
    if not isinstance(value, str) or isinstance(present, str) or present is None:
        return value
    try:
        if isinstance(present, bool):
            return {"true": True, "false": False}[value.lower()]
        return (
            int(value) if isinstance(present, int) and value.lstrip("-").isdigit() else float(value)
        )
    except (KeyError, ValueError):
        raise InputError(
            f"{column} is {value!r}, and the workflow has {present!r} there."
        ) from None


def filled(workflow: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the workflow with a row's values in it."""
    copy = json.loads(json.dumps(workflow))
    for column, value in values.items():
        node, _, field = column.partition(".")
        copy[node].setdefault("inputs", {})[field] = value
    return copy


def on_servers(
    jobs: Sequence[Job], addresses: Sequence[str], workflow: Mapping[str, Any], patience: float
) -> Iterator[Outcome]:
    """Every job's outcome as it comes, one job at a time on each server.

    A server that stops answering gives its job back and is asked nothing more; one that answers
    late is asked again; one that was started again is given its job again. patience: seconds that
    one job may take. Closing the iterator leaves what the servers are at to them.
    """
    waiting: queue.Queue[tuple[Job, int]] = queue.Queue()
    outcomes: queue.Queue[Outcome | None] = queue.Queue()
    stopped, left = threading.Event(), {job.name: job for job in jobs}
    begun_before = asked_before(jobs, addresses)
    for job in jobs:
        if not any(job in own for own in begun_before.values()):
            waiting.put((job, 1))

    def serve(address: str) -> None:
        server, own = Server(address, patience), begun_before[address]
        while left and not stopped.is_set():  # another may yet give its job back
            try:
                job, tries = (own.pop(), 1) if own else waiting.get(timeout=IDLE)
            except queue.Empty:
                continue
            begun = time.monotonic()
            try:
                done, message = True, server.run(job, workflow, stopped)
            except Unreachable:
                for given_back in (job, *own):
                    waiting.put((given_back, tries + 1))
                break
            except MotionError as error:
                if isinstance(error, Forgotten) and tries < TRIES:
                    waiting.put((job, tries + 1))
                    continue
                done, message = False, str(error)
            spent = time.monotonic() - begun
            outcomes.put(Outcome(job.name, done, message, spent, address, tries))
            left.pop(job.name)
        outcomes.put(None)

    threads = [threading.Thread(target=serve, args=(a,), daemon=True) for a in addresses]
    for thread in threads:
        thread.start()
    try:
        running = len(threads)
        while running:
            outcome = outcomes.get()
            if outcome is None:
                running -= 1
            else:
                yield outcome
        for name in list(left):
            told = f"No server answers any more: {', '.join(addresses)}."
            yield Outcome(name, False, told, 0.0, "", 1)
    finally:
        stopped.set()


def asked_before(jobs: Sequence[Job], addresses: Sequence[str]) -> dict[str, list[Job]]:
    """By server, the jobs that it was asked for and nobody fetched."""
    own: dict[str, list[Job]] = {address: [] for address in addresses}
    for job in jobs:
        asked = Asked.read(job.writes[0])
        for address in addresses:
            if asked and asked.address == address.rstrip("/"):
                own[address].append(job)
                break
    return own


class Server:
    """One ComfyUI server."""

    def __init__(self, address: str, patience: float) -> None:
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(f"A server is named as http://127.0.0.1:8188, and not as {address!r}.")
        self.address, self.patience = address.rstrip("/"), patience

    def run(self, job: Job, workflow: Mapping[str, Any], stopped: threading.Event) -> str:
        """Upload, queue, wait, fetch. What was made. Raises MotionError."""
        values = {
            column: self.upload(value) if isinstance(value, Path) else value
            for column, value in job.values.items()
        }
        folder, names = made_folder(job.writes[0]), set[str]()
        number = self.asked(folder, filled(workflow, values))
        made = list(self.results(self.wait(number, stopped)))
        if not made:
            raise InputError("The workflow saved nothing; it needs a node that saves its results.")
        for item in made:
            name = _plain_name(item["filename"])
            if name in names:  # another node's, in another folder there
                name = f"{len(names)}-{name}"
            names.add(name)
            self.download(item, folder / name)
        Asked.forget(folder)
        return f"{len(made)} files"

    def asked(self, folder: Path, prompt: Mapping[str, Any]) -> str:
        """The number of a prompt for that folder: of one that this server has already, if it was
        asked before and not fetched, or a new one.
        """
        before = Asked.read(folder)
        if before and (before.address, before.of) == (self.address, digest(prompt)):
            known = self.queued(before.number)
            if known or before.number in _table(self._ask_again(f"/history/{before.number}")):
                return before.number
        number = self.submit(prompt)
        Asked(self.address, number, digest(prompt)).keep(folder)
        return number

    def upload(self, path: Path) -> str:
        """Its name among the server's inputs. Files of one name from two folders stay apart."""
        subfolder = "comfyui_motion/" + uuid.uuid5(uuid.NAMESPACE_URL, str(path.resolve())).hex[:12]
        fields = {"subfolder": subfolder, "overwrite": "true", "type": "input"}
        boundary = uuid.uuid4().hex
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        shown = path.name.replace('"', "%22")
        head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{shown}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        )
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        told = _table(self._ask("/upload/image", body, kind))
        parts = [told.get("subfolder", ""), told.get("name")]
        if not parts[1] or not all(isinstance(part, str) for part in parts):
            raise InputError(f"{self.address} did not say how it calls what was uploaded.")
        return "/".join(filter(None, parts))

    def submit(self, prompt: Mapping[str, Any]) -> str:
        body = json.dumps({"prompt": prompt, "client_id": uuid.uuid4().hex}).encode()
        told = _table(self._ask("/prompt", body, {"Content-Type": "application/json"}))
        if told.get("node_errors") or not isinstance(told.get("prompt_id"), str):
            raise InputError(_refused(told))
        return told["prompt_id"]

    def wait(self, number: str, stopped: threading.Event) -> Mapping[str, Any]:
        """The outputs of a prompt, once it is done. Raises InputError where a node failed,
        Forgotten where the server knows of it no more.
        """
        ends, looks = time.monotonic() + self.patience, 0
        while time.monotonic() < ends:
            looks += 1
            known = looks % LOOKS != 0 or self.queued(number)
            entry = _table(self._ask_again(f"/history/{number}")).get(number)
            if entry:
                status = _table(_table(entry).get("status") or {})
                if status.get("status_str") == "error":
                    raise InputError(_failed(status))
                return entry.get("outputs", {})
            if not known:
                raise Forgotten(
                    f"{self.address} knows nothing of its run any more; was it started again?"
                )
            if stopped.wait(POLL):
                raise InputError("Stopped.")
        raise InputError(f"{self.address} was not done after {self.patience:g} seconds.")

    def queued(self, number: str) -> bool:
        """Whether a prompt is being run there, or waits to be."""
        told = _table(self._ask_again("/queue"))
        lists = [told.get(name) for name in ("queue_running", "queue_pending")]
        entries = [entry for part in lists if isinstance(part, list) for entry in part]
        return any(isinstance(entry, list) and number in entry for entry in entries)

    @staticmethod
    def results(outputs: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
        """The files that were saved, previews left out."""
        for node in _table(outputs).values():
            for items in _table(node).values():
                for item in items if isinstance(items, list) else ():
                    named = isinstance(item, dict) and isinstance(item.get("filename"), str)
                    if named and item.get("type") == "output":
                        yield item

    def download(self, item: Mapping[str, str], target: Path) -> None:
        query = urllib.parse.urlencode(
            {k: item.get(k, "") for k in ("filename", "subfolder", "type")}
        )
        with (
            writing(target),
            written_whole(target) as partial,
            self._open(f"/view?{query}") as answer,
            partial.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file)

    def _ask_again(self, place: str) -> Any:
        """What changes nothing there is asked again where the answer is late: a busy server."""
        for _ in range(ASKED - 1):
            try:
                return self._ask(place)
            except Late:
                continue
        return self._ask(place)

    def _ask(self, place: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> Any:
        with self._open(place, body, headers) as answer:
            try:
                return json.loads(answer.read())
            except ValueError as error:
                raise InputError(f"{self.address} is no ComfyUI server: {error}.") from error
            except OSError as error:
                raise self._silent(error) from error

    def _open(self, place: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> Any:
        request = urllib.request.Request(self.address + place, body, dict(headers))
        try:
            return urllib.request.urlopen(request, timeout=ANSWER)
        except urllib.error.HTTPError as error:
            try:
                told = _refused(json.loads(error.read()))
            except ValueError:
                told = f"{self.address}{place} answers {error.code} {error.reason}."
            raise InputError(told) from error
        except (OSError, urllib.error.URLError) as error:
            raise self._silent(error) from error

    def _silent(self, error: OSError) -> Unreachable:
        late = isinstance(getattr(error, "reason", error), TimeoutError)
        return (Late if late else Unreachable)(f"{self.address} does not answer: {error}.")


def _table(value: Any) -> dict[str, Any]:
    """What a server answers where an object belongs. Raises InputError."""
    if not isinstance(value, dict):
        raise InputError(f"A server answered {shown(value)}, as no ComfyUI does.")
    return value


def _plain_name(name: str) -> str:
    """A file's name without what a server puts before it. Raises InputError for one that is
    none.
    """
    name = name.replace("\\", "/").rpartition("/")[2]
    if not name.strip(". ") or not name.isprintable():
        raise InputError(f"The server names a result {name!r}, which is no file's name.")
    return name


def _refused(told: Mapping[str, Any]) -> str:
    """What /prompt says of a workflow it does not take."""
    told = _table(told)
    problems = [
        f"node {number} ({_table(node).get('class_type')}): {_table(problem).get('message')}"
        f" {problem.get('details', '')}".rstrip()
        for number, node in _table(told.get("node_errors") or {}).items()
        for problem in _table(node).get("errors") or ()
    ]
    error = told.get("error")
    first = error.get("message") if isinstance(error, dict) else error
    return "The server refuses the workflow: " + ("; ".join(problems) or str(first))


def _failed(status: Mapping[str, Any]) -> str:
    for message in status.get("messages") or ():
        kind, told = message if isinstance(message, list) and len(message) == 2 else ("", None)
        if kind == "execution_error" and isinstance(told, dict):
            said = str(told.get("exception_message", "")).strip()
            return f"Node {told.get('node_id')} ({told.get('node_type')}) failed: {said}"
    return "The workflow failed on the server."
