// Drives ComfyUI's page in headless Chromium: node drive.mjs URL WORKFLOW.json OUT_DIR [PLAN.json]
//
// Opens the workflow, does what the plan says, leaves pictures of the page and of each of our nodes in OUT_DIR, and writes what it saw as JSON to stdout.
// A plan is a list of steps: {"set": {"CM_Animate.frame_count": 8}}, {"run": true}, {"drag": "CM_PoseFace.smile"}, {"reload": true}, {"picture": "name"}, {"nodes": true}.
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
page.on("pageerror", (error) => ours.test(error.stack) && seen.errors.push(error.stack));
page.on("console", (told) => told.type() === "error" && ours.test(told.text()) && !/Failed to load resource/.test(told.text()) && seen.errors.push(told.text()));
page.on("response", (answer) => answer.status() >= 400 && /comfyui_motion|workflow_templates/.test(answer.url()) && seen.errors.push(`${answer.status()} ${answer.url()}`));

async function settle() {
  const settings = JSON.parse(process.env.PAGE_SETTINGS ?? "{}");
  await fetch(`${url}/settings`, { method: "POST", body: JSON.stringify({ "Comfy.TutorialCompleted": true, ...settings }) });
}

async function ready() {
  await page.waitForFunction(() => window.app?.graph && window.app.canvas && window.LiteGraph?.registered_node_types?.CM_Animate, null, { timeout: 120000 });
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

async function boxes() {
  return await page.evaluate(() => {
    const { scale, offset } = window.app.canvas.ds;
    const at = window.app.canvas.canvas.getBoundingClientRect();
    return window.app.graph._nodes.filter(({ type }) => type?.startsWith("CM_")).map((node) => ({
      type: node.type,
      x: (node.pos[0] + offset[0]) * scale + at.left - 8,
      y: (node.pos[1] + offset[1] - 34) * scale + at.top,
      width: node.size[0] * scale + 16,
      height: (node.size[1] + 40) * scale,
    }));
  });
}

async function nodes() {
  for (const { type } of await boxes()) {
    await page.evaluate((kind) => {
      const { canvas, graph } = window.app;
      const node = graph._nodes.find(({ type }) => type === kind);
      const view = canvas.canvas.getBoundingClientRect();
      const scale = Math.min(1.25, (view.height - 160) / (node.size[1] + 40), (view.width - 300) / node.size[0]);
      canvas.ds.scale = scale;
      canvas.ds.offset = [-node.pos[0] + (view.width / scale - node.size[0]) / 2, -node.pos[1] + 40 + 50 / scale];
      canvas.setDirty(true, true);
    }, type);
    await page.waitForTimeout(700);
    const box = (await boxes()).find((other) => other.type === type);
    const clip = { x: Math.max(0, box.x), y: Math.max(0, box.y), width: Math.min(1600 - box.x, box.width), height: Math.min(950 - box.y, box.height) };
    await page.screenshot({ path: join(out, `${type}.jpg`), type: "jpeg", quality: 82, clip });
  }
}

const actions = {
  run,
  nodes,
  fit,
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
