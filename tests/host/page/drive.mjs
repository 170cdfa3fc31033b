// Drives ComfyUI's page in headless Chromium: node drive.mjs URL WORKFLOW.json OUT_DIR [PLAN.json]
//
// Opens the workflow, does what the plan says, leaves pictures of the page and of each of our nodes in OUT_DIR, and writes what it saw as JSON to stdout.
// A plan is a list of steps: {"set": {"CM_Animate.frame_count": 8}}, {"run": true}, {"drag": "CM_PoseFace.smile"}, {"reload": true}, {"picture": "name"}, {"nodes": true}, {"scene": {"name": "CM_Animate", "graph": {...}, "show": [4]}}.
// PLAYWRIGHT names a folder with playwright-core, CHROMIUM the browser, PAGE_SETTINGS the user's settings as JSON: {"Comfy.VueNodes.Enabled": true}.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [url, file, out, plan] = process.argv.slice(2);
const require = createRequire(join(process.env.PLAYWRIGHT ?? process.cwd(), "package.json"));
const { chromium } = require("playwright-core");
const steps = plan ? JSON.parse(readFileSync(plan)) : [{ run: true }, { picture: "page" }, { nodes: true }];
const seen = { errors: [], runs: [], steps: [] };
mkdirSync(out, { recursive: true });

const args = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader", "--autoplay-policy=no-user-gesture-required"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
const page = await browser.newPage({ viewport: { width: 1600, height: 950 } });
const ours = /comfyui_motion/; // the page has errors of its own
page.setDefaultNavigationTimeout(300000);
page.on("pageerror", (error) => ours.test(error.stack) && seen.errors.push(error.stack));
page.on("console", (told) => told.type() === "error" && ours.test(told.text()) && !/Failed to load resource/.test(told.text()) && seen.errors.push(told.text()));
page.on("response", (answer) => answer.status() >= 400 && /comfyui_motion|workflow_templates/.test(answer.url()) && seen.errors.push(`${answer.status()} ${answer.url()}`));

async function settle() {
  const settings = JSON.parse(process.env.PAGE_SETTINGS ?? "{}");
  await fetch(`${url}/settings`, { method: "POST", body: JSON.stringify({ "Comfy.TutorialCompleted": true, ...settings }) });
}

async function ready() {
  await page.waitForFunction(() => window.app?.graph && window.app.canvas && window.LiteGraph?.registered_node_types?.CM_Animate, null, { timeout: 300000 });
  await page.waitForTimeout(2500);
  await page.keyboard.press("Escape");
}

async function fit() {
  await page.evaluate(() => window.app.extensionManager.command.execute("Comfy.Canvas.FitView"));
  await page.waitForTimeout(1500);
}

const history = async () => await (await fetch(`${url}/history`)).json();

async function run() {
  const before = Object.keys(await history()).length;
  const began = Date.now();
  await page.evaluate(() => window.app.queuePrompt(0, 1));
  const refused = await page.evaluate(() => JSON.stringify(window.app.lastNodeErrors ?? {}));
  if (refused !== "{}") throw new Error(`the host does not take it: ${refused}`);
  while (Object.keys(await history()).length === before) {
    if (Date.now() - began > 900000) throw new Error("the run did not end within a quarter of an hour");
    await page.waitForTimeout(300);
  }
  const last = Object.values(await history()).pop();
  const error = last.status.messages.find(([kind]) => kind === "execution_error")?.[1];
  seen.runs.push({ status: last.status.status_str, error: error?.exception_message, node: error?.node_type, seconds: (Date.now() - began) / 1000 });
  await page.waitForTimeout(2500);
}

// Of each of our nodes: what plays, what is said, what its widgets hold.
const state = () =>
  page.evaluate(() =>
    window.app.graph._nodes
      .filter(({ type }) => type?.startsWith("CM_"))
      .map((node) => ({
        type: node.type,
        words: node.motionPlayer?.words.textContent,
        playing: node.motionPlayer ? { time: node.motionPlayer.video.currentTime, paused: node.motionPlayer.video.paused, width: node.motionPlayer.video.videoWidth } : null,
        points: node.motionEditor?.clip.length,
        followed: node.motionPose?.picture.src?.startsWith("blob:"),
        took: node.motionPose?.took,
        widgets: Object.fromEntries((node.widgets ?? []).filter(({ value, serialize }) => value !== undefined && serialize !== false).map(({ name, value }) => [name, value])),
      })),
  );

// A picture of some nodes by their numbers, as large as fits.
async function shoot(name, ids) {
  const clip = await page.evaluate((wanted) => {
    const { canvas, graph } = window.app;
    canvas.deselectAll?.();
    const nodes = graph._nodes.filter(({ id }) => wanted.includes(id));
    const left = Math.min(...nodes.map(({ pos }) => pos[0])) - 10;
    const top = Math.min(...nodes.map(({ pos }) => pos[1])) - 40;
    const width = Math.max(...nodes.map(({ pos, size }) => pos[0] + size[0])) + 10 - left;
    const height = Math.max(...nodes.map(({ pos, size }) => pos[1] + size[1])) + 10 - top;
    const view = canvas.canvas.getBoundingClientRect();
    const scale = Math.min(1.1, (view.height - 170) / height, (view.width - 420) / width);
    canvas.ds.scale = scale;
    canvas.ds.offset = [100 / scale - left, 90 / scale - top];
    canvas.setDirty(true, true);
    return { x: view.left + 100, y: view.top + 90, width: width * scale, height: height * scale };
  }, ids);
  await page.waitForTimeout(3000); // what lies over the canvas follows it late on a busy machine
  await page.screenshot({ path: join(out, `${name}.jpg`), type: "jpeg", quality: 80, clip });
}

async function nodes() {
  const ours = await page.evaluate(() => window.app.graph._nodes.map(({ id, type }) => ({ id, type })));
  for (const { id, type } of ours) if (type?.startsWith("CM_")) await shoot(type, [id]);
}

const actions = {
  run,
  nodes,
  fit,
  // Another graph, run, and a picture of some of its nodes.
  async scene({ name, graph, show }) {
    await page.evaluate((other) => window.app.loadGraphData(other), graph);
    await page.waitForTimeout(800);
    await run();
    const { outputs } = Object.values(await history()).pop();
    const films = Object.keys(outputs).filter((id) => outputs[id].motion_film).map(Number);
    const plays = (ids) => window.app.graph._nodes.every(({ id, motionPlayer, motionPose, motionEditor }) => !ids.includes(id) || motionPose || motionEditor || motionPlayer?.video.readyState > 1);
    await page.waitForFunction(plays, films, { timeout: 300000 });
    await shoot(name, show);
  },
  async set(changes) {
    await page.evaluate((wanted) => {
      for (const [place, value] of Object.entries(wanted)) {
        const [kind, name] = place.split(".");
        for (const node of window.app.graph._nodes.filter(({ type }) => type === kind)) {
          const widget = node.widgets.find((other) => other.name === name);
          widget.value = value;
          widget.callback?.(value);
        }
      }
    }, changes);
  },
  async drag(place) {
    const [, dial] = place.split(".");
    const slider = page.locator(`.motion-pose input[data-dial="${dial}"]`).first();
    const box = await slider.boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.down();
    for (let step = 1; step <= 8; step++) {
      await page.mouse.move(box.x + box.width * (0.5 + step * 0.05), box.y + box.height / 2);
      await page.waitForTimeout(120);
    }
    await page.mouse.up();
    await page.waitForTimeout(3000);
  },
  async point() {
    const canvas = page.locator(".motion-editor canvas").first();
    const box = await canvas.boundingBox();
    const [x, y] = await page.evaluate(() => {
      const editor = window.app.graph._nodes.find(({ motionEditor }) => motionEditor).motionEditor;
      const middle = editor.points().reduce((best, place) => (Math.hypot(...place) < Math.hypot(...best) ? place : best));
      const rect = editor.canvas.getBoundingClientRect();
      const scale = Math.min(rect.width / editor.canvas.width, rect.height / editor.canvas.height);
      const [px, py] = editor.pixels(middle);
      return [rect.left + (rect.width - editor.canvas.width * scale) / 2 + px * scale, rect.top + (rect.height - editor.canvas.height * scale) / 2 + py * scale];
    });
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x + box.width / 12, y + box.height / 12, { steps: 5 });
    await page.mouse.up();
    await page.waitForTimeout(500);
  },
  async reload() {
    await page.waitForTimeout(1500);
    const saved = await page.evaluate(() => window.app.graph.serialize());
    await page.reload();
    await ready();
    await page.evaluate((graph) => window.app.loadGraphData(graph), saved);
    await fit();
  },
  async picture(name) {
    await page.screenshot({ path: join(out, `${name}.png`) });
  },
};

try {
  await settle();
  await page.goto(url);
  await ready();
  await page.evaluate((graph) => window.app.loadGraphData(graph), JSON.parse(readFileSync(file)));
  await page.waitForTimeout(1000);
  await fit();
  for (const step of steps) {
    const [[name, value]] = Object.entries(step);
    await actions[name](value);
    seen.steps.push({ [name]: value, nodes: await state() });
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
