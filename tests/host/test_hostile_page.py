"""The real page, in a browser: what a checkpoint says of itself is shown, and does nothing.

Needs what a checkout has not: $COMFYUI_PATH, Node with playwright-core ($NODE_PATH), and Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import torch

import comfyui_motion as motion

pytestmark = pytest.mark.host
ROOT = Path(__file__).parents[2]
EVIL = "optimizer<img src=x onerror=window.harmed=1>"
SMALL = {"width": 4, "limit": 16, "depth": 2}
BODY = {"width": 4, "limit": 16, "downs": 2, "residuals": 1}
DRIVE = """
const { chromium } = require("playwright-core");
(async () => {
  const [url, program] = process.argv.slice(2);
  const browser = await chromium.launch({
    executablePath: program, args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  const page = await browser.newPage();
  await page.goto(url);
  const patience = { timeout: 90000 };
  await page.waitForFunction(() => window.app?.graph && window.app.canvas, null, patience);
  await page.waitForTimeout(2000);
  await page.evaluate(() => {
    window.app.graph.clear();
    const node = window.LiteGraph.createNode("CM_LoadModel");
    window.app.graph.add(node);
    node.widgets.find(w => w.name === "model_name").value = "evil.pth";
    const shown = window.LiteGraph.createNode("PreviewAny");
    window.app.graph.add(shown);
    node.connect(1, shown, 0);
  });
  await page.evaluate(() => window.app.queuePrompt(0, 1));
  await page.waitForFunction(() => document.body.innerText.includes("img src") || window.harmed
    || [...document.querySelectorAll("textarea")].some(t => t.value.includes("img src")),
    null, patience);
  await page.waitForTimeout(1500);
  const harmed = await page.evaluate(
    () => window.harmed || document.querySelectorAll('img[src="x"]').length);
  console.log(JSON.stringify({ harmed }));
  await browser.close();
})().catch(error => { console.error(error); process.exit(1); });
"""


@pytest.fixture
def page(tmp_path):
    """The address of a server with the pack and a checkpoint whose key is markup."""
    comfyui, program = os.environ.get("COMFYUI_PATH"), shutil.which("chromium")
    if not comfyui or not program or not shutil.which("node") or not os.environ.get("NODE_PATH"):
        pytest.skip("no ComfyUI, Chromium or playwright-core to drive")
    for name in ("models/motion", "custom_nodes", "input", "output", "temp", "user"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "custom_nodes" / "comfyui_motion").symlink_to(ROOT)
    content: dict = {EVIL: {}}
    model = motion.build("fomm", keypoints=4, jacobians=4, detector=SMALL, dense=SMALL, body=BODY)
    for key, value in model.state_dict().items():
        network, _, rest = key.partition(".")
        content.setdefault(network, {})[rest] = value
    torch.save(content, tmp_path / "models" / "motion" / "evil.pth")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "main.py", "--cpu", "--base-directory", tmp_path, "--port", port]
    command += ["--database-url", f"sqlite:///{tmp_path}/comfyui.db"]
    server = subprocess.Popen(
        list(map(str, command)),
        cwd=comfyui,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/object_info/CM_LoadModel", server)
        yield f"http://127.0.0.1:{port}", program
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address: str, server: subprocess.Popen) -> None:
    for _ in range(240):
        assert server.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(address)


def test_a_checkpoint_runs_no_script_in_the_page(page, tmp_path):
    address, program = page
    (tmp_path / "drive.js").write_text(DRIVE)
    done = subprocess.run(
        ["node", str(tmp_path / "drive.js"), address, program],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"harmed": 0}
