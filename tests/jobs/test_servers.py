"""Jobs over servers, against one that answers as ComfyUI does."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from comfyui_motion import InputError, MotionError
from comfyui_motion.jobs import servers
from comfyui_motion.jobs.job import Job
from comfyui_motion.jobs.servers import filled, job_of_row, on_servers, read_workflow

WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "2": {"class_type": "CM_Animate", "inputs": {"strength": 1.0, "adapt_scale": True}},
}


class Host(BaseHTTPRequestHandler):
    """As much of ComfyUI as a client meets. A strength of 13 fails in a node, 99 is refused."""

    prompts: ClassVar[dict[str, dict]] = {}
    uploads: ClassVar[dict[str, bytes]] = {}
    forgotten: ClassVar[set[str]] = set()  # prompts that it knows nothing of any more
    gives_up: ClassVar[list[str]] = []  # of a prompt among them, the connection breaks off
    late: ClassVar[list[float]] = []  # seconds that the next questions how far it is have to wait

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/upload/image":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = {
                part.get_param("name", header="content-disposition"): part
                for part in BytesParser().parsebytes(head + body).get_payload()
            }
            name = parts["image"].get_filename()
            subfolder = parts["subfolder"].get_payload()
            self.uploads[f"{subfolder}/{name}"] = parts["image"].get_payload(decode=True)
            return self.answer({"name": name, "subfolder": subfolder, "type": "input"})
        prompt = json.loads(body)["prompt"]
        if prompt["2"]["inputs"]["strength"] == 99:
            errors = [{"message": "Value 99 bigger than max of 3", "details": "strength"}]
            told = {"2": {"class_type": "CM_Animate", "errors": errors}}
            return self.answer({"error": {"message": "no"}, "node_errors": told}, 400)
        number = str(len(self.prompts))
        self.prompts[number] = prompt
        return self.answer({"prompt_id": number, "node_errors": {}})

    def do_GET(self):
        place, _, query = self.path.partition("?")
        if place.startswith("/history/"):
            if self.late:
                time.sleep(self.late.pop())
            number = place.rpartition("/")[2]
            if number in self.gives_up:
                time.sleep(0.5)
                return self.connection.close()
            if number in self.forgotten:
                return self.answer({})
            prompt = self.prompts[number]
            if prompt["2"]["inputs"]["strength"] == 13:
                told = {"node_id": "2", "node_type": "CM_Animate", "exception_message": "No face."}
                status = {"status_str": "error", "messages": [["execution_error", told]]}
                return self.answer({number: {"status": status, "outputs": {}}})
            items = [
                {"filename": f"out_{number}.txt", "subfolder": "a b", "type": "output"},
                {"filename": "preview.txt", "subfolder": "", "type": "temp"},
            ]
            outputs = {"9": {"images": items, "animated": [True]}}
            return self.answer({number: {"status": {"status_str": "success"}, "outputs": outputs}})
        if place == "/queue":
            return self.answer({"queue_running": [], "queue_pending": []})
        asked = dict(urllib.parse.parse_qsl(query))
        assert asked["subfolder"] == "a b"
        number = asked["filename"][4:-4]
        return self.answer(self.prompts[number]["2"]["inputs"])

    def answer(self, content, code=200):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def host(monkeypatch):
    monkeypatch.setattr(servers, "POLL", 0.01)
    Host.prompts, Host.uploads = {}, {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_rows_go_out_and_results_come_back(host, tmp_path):
    picture = tmp_path / "me.png"
    picture.write_bytes(b"\x89PNG not really")
    rows = [{"1.image": "me.png", "2.strength": value} for value in ("0.5", "2", "13", "99")]
    jobs = [job_of_row(WORKFLOW, tmp_path, tmp_path, f"row {i}", row) for i, row in enumerate(rows)]
    gone = "http://127.0.0.1:9"  # nobody listens there: its jobs are done by the other
    found = {outcome.name: outcome for outcome in on_servers(jobs, [gone, host], WORKFLOW, 20)}
    assert [found[f"row {i}"].done for i in range(4)] == [True, True, False, False]
    assert "CM_Animate) failed: No face." in found["row 2"].message
    assert "Value 99 bigger than max of 3" in found["row 3"].message
    (saved,) = (tmp_path / "row-0").iterdir()
    assert json.loads(saved.read_text()) == {"strength": 0.5, "adapt_scale": True}
    ((name, content),) = Host.uploads.items()
    assert name.endswith("/me.png") and content == picture.read_bytes()
    assert all(prompt["1"]["inputs"]["image"] == name for prompt in Host.prompts.values())


def test_a_server_that_answers_late_is_asked_again(host, tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "ANSWER", 1.0)
    monkeypatch.setattr(Host, "late", [1.5])
    job = job_of_row(WORKFLOW, tmp_path, tmp_path, "row 0", {"2.strength": "2"})
    (outcome,) = on_servers([job], [host], WORKFLOW, 20)
    assert outcome.done and outcome.tries == 1 and not Host.late


def test_a_server_that_was_started_again_is_given_its_job_again(host, tmp_path, monkeypatch):
    job = job_of_row(WORKFLOW, tmp_path, tmp_path, "row 0", {"2.strength": "2"})
    monkeypatch.setattr(Host, "forgotten", {"0"})
    (outcome,) = on_servers([job], [host], WORKFLOW, 20)
    assert outcome.done and outcome.tries == 2 and len(Host.prompts) == 2
    monkeypatch.setattr(Host, "forgotten", {"2", "3"})
    (outcome,) = on_servers([job], [host], WORKFLOW, 20)
    assert not outcome.done and "started again" in outcome.message


def test_the_last_job_of_a_server_that_dies_is_done_by_another_that_waits(
    host, tmp_path, monkeypatch
):
    rows = [job_of_row(WORKFLOW, tmp_path, tmp_path, f"row {i}", {}) for i in range(2)]
    monkeypatch.setattr(Host, "gives_up", ["1"])
    outcomes = list(on_servers(rows, [host, host.replace("127.0.0.1", "localhost")], WORKFLOW, 20))
    assert [outcome.done for outcome in outcomes] == [True, True]
    assert max(outcome.tries for outcome in outcomes) == 2 and len(Host.prompts) == 3


def test_what_a_server_was_asked_for_before_is_fetched_and_not_done_again(host, tmp_path):
    rows = [job_of_row(WORKFLOW, tmp_path, tmp_path, f"row {i}", {}) for i in range(3)]
    other = host.replace("127.0.0.1", "localhost")
    for server, row in ((host, rows[2]), (other, rows[0])):
        row.writes[0].mkdir()
        servers.Server(server, 20).asked(row.writes[0], WORKFLOW)
    assert len(Host.prompts) == 2
    outcomes = list(on_servers(rows, [host, other], WORKFLOW, 20))
    assert len(outcomes) == 3 and all(outcome.done for outcome in outcomes)
    assert len(Host.prompts) == 3
    assert [len(list(row.writes[0].iterdir())) for row in rows] == [1, 1, 1]
    rows[0].writes[0].joinpath(".asked.json").write_text('{"address": 5}')
    (outcome,) = on_servers(rows[:1], [host], WORKFLOW, 20)
    assert outcome.done and len(Host.prompts) == 4


def test_without_a_server_every_job_says_so(tmp_path):
    jobs = [job_of_row(WORKFLOW, tmp_path, tmp_path, "row 0", {})]
    (outcome,) = on_servers(jobs, ["http://127.0.0.1:9"], WORKFLOW, 5)
    assert not outcome.done and "No server answers any more" in outcome.message


def test_a_row_names_inputs_of_the_workflow_and_keeps_their_kind(tmp_path):
    job = job_of_row(
        WORKFLOW, tmp_path, tmp_path, "row 2", {"2.adapt_scale": "false", "2.strength": "2"}
    )
    assert filled(WORKFLOW, job.values)["2"]["inputs"] == {"strength": 2.0, "adapt_scale": False}
    assert WORKFLOW["2"]["inputs"]["strength"] == 1.0
    with pytest.raises(InputError, match=r"NODE\.INPUT"):
        job_of_row(WORKFLOW, tmp_path, tmp_path, "row 2", {"strength": "1"})
    with pytest.raises(InputError, match="'much'"):
        job_of_row(WORKFLOW, tmp_path, tmp_path, "row 2", {"2.strength": "much"})


def test_a_workflow_of_the_page_is_told_from_one_of_the_api(tmp_path):
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps({"nodes": [], "links": []}))
    with pytest.raises(InputError, match=r"Export \(API\)"):
        read_workflow(path)
    path.write_text("[]")
    with pytest.raises(InputError, match="API format"):
        read_workflow(path)
    path.write_text(json.dumps(WORKFLOW))
    assert read_workflow(path) == WORKFLOW


@pytest.mark.parametrize(
    "answer",
    [None, 7, "x", [], {}, {"1": 7}, {"1": {"status": [], "outputs": {}}}, {"1": {"outputs": [3]}}]
    + [
        {"1": {"outputs": {"9": {"images": [{"filename": n, "type": "output"}]}}}}
        for n in ("..", "a/", "\n", 7)
    ]
    + [{"1": {"status": {"status_str": "error", "messages": [7, ["execution_error", 7]]}}}],
    ids=repr,
)
def test_what_no_server_answers_is_a_sentence(tmp_path, monkeypatch, answer):
    """Whatever comes, of another program on that port, or of one that means harm."""
    server = servers.Server("http://127.0.0.1:1", patience=0.0 if answer in ({}, []) else 5.0)
    monkeypatch.setattr(server, "_ask", lambda *_: answer)
    monkeypatch.setattr(server, "submit", lambda prompt: "1")
    job = Job("row 1", (), (tmp_path / "out",))
    with pytest.raises(MotionError):
        server.run(job, {"2": {"class_type": "X", "inputs": {}}}, threading.Event())
    assert not list(tmp_path.rglob("*.partial*"))
    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.undo()
    server = servers.Server("http://127.0.0.1:1", patience=1.0)
    monkeypatch.setattr(server, "_ask", lambda *_: answer)
    for ask in (lambda: server.upload(tmp_path / "a.png"), lambda: server.submit({})):
        with pytest.raises(MotionError):
            ask()
