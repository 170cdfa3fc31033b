// What plays on our nodes after a run: a film with panels (driver, before, after) and the words that stay beside it. nodes/film.py makes both.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { panel, VIEWS, views } from "./panels.js";

const STYLE = "display:flex;flex-direction:column;gap:4px;width:100%;height:100%;min-height:0;font:12px sans-serif;color:var(--input-text,#ccc)";
const BUTTON = "flex:1;padding:2px 4px;border:0;border-radius:4px;cursor:pointer;font:11px sans-serif;color:inherit;background:var(--comfy-input-bg,#333)";

export class Player {
  constructor() {
    this.element = document.createElement("div");
    this.element.style.cssText = STYLE;
    this.words = document.createElement("div");
    this.words.className = "motion-words";
    this.words.style.cssText = "flex:none;white-space:pre-wrap;line-height:1.35;user-select:text";
    this.canvas = document.createElement("canvas");
    this.canvas.className = "motion-film";
    this.canvas.style.cssText = "flex:1;min-height:0;width:100%;object-fit:contain;cursor:ew-resize;border-radius:4px";
    this.bar = document.createElement("div");
    this.bar.style.cssText = "flex:none;display:flex;gap:4px";
    this.element.append(this.words, this.canvas, this.bar);
    this.video = Object.assign(document.createElement("video"), { muted: true, loop: true, autoplay: true, playsInline: true });
    this.split = 0.5;
    this.canvas.addEventListener("pointermove", (event) => this.slide(event));
    this.canvas.addEventListener("click", () => this.toggle());
    this.video.addEventListener("loadeddata", () => this.tick());
    this.video.addEventListener("error", () => this.show(this.said, null)); // the host has emptied its temporary folder
  }

  show(words, film) {
    this.said = words;
    this.words.textContent = (words ?? []).join("\n");
    this.words.style.display = words?.length ? "" : "none";
    this.film = film;
    this.canvas.style.display = this.bar.style.display = film ? "" : "none";
    if (!film) {
      this.video.pause();
      return this.resized?.();
    }
    this.choices = views(film.panels);
    if (!this.choices.includes(this.view)) this.view = this.choices[0];
    this.bar.replaceChildren(...(this.choices.length > 1 ? this.choices.map((view) => this.button(view)) : []));
    const query = new URLSearchParams({ filename: film.filename, subfolder: film.subfolder, type: film.type });
    this.video.loop = this.video.autoplay = film.frames > 1; // a single frame begun again all the time is never seen
    this.video.src = api.apiURL(`/view?${query}`);
    if (this.video.loop) this.video.play().catch(() => {}); // a page that was never touched may not play; a click does it
  }

  // A node that is gone leaves its connection to the host to others.
  close() {
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }

  button(view) {
    const button = document.createElement("button");
    button.style.cssText = BUTTON + (view === this.view ? ";outline:1px solid var(--p-primary-color,#6af)" : "");
    button.textContent = VIEWS[view];
    button.addEventListener("click", () => {
      this.view = view;
      this.bar.replaceChildren(...this.choices.map((other) => this.button(other)));
      this.draw();
      this.resized?.();
    });
    return button;
  }

  slide(event) {
    const box = this.canvas.getBoundingClientRect();
    this.split = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    if (this.view === "slider") this.draw();
  }

  toggle() {
    if (this.video.paused) this.video.play().catch(() => {});
    else this.video.pause();
  }

  tick() {
    this.draw();
    const next = () => this.tick();
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(next);
    else if (this.element.isConnected) requestAnimationFrame(next);
  }

  draw() {
    if (this.video.readyState < 2) return;
    const { pieces, width, height } = panel(this.film, this.view, this.split, this.video.videoHeight);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
      this.resized?.();
    }
    const pen = this.canvas.getContext("2d");
    for (const { from, to, size } of pieces) pen.drawImage(this.video, from, 0, size, height, to, 0, size, height);
    if (this.view !== "slider") return;
    pen.fillStyle = "rgba(255,255,255,0.8)";
    pen.fillRect(Math.round(this.split * width) - 1, 0, 2, height);
  }

  height(width) {
    const words = this.words.textContent ? 17 * this.words.textContent.split("\n").reduce((lines, line) => lines + Math.ceil((line.length * 6.2) / width || 1), 0) : 0;
    const film = this.film ? (this.canvas.height / this.canvas.width) * width + (this.choices.length > 1 ? 26 : 4) : 0;
    return Math.ceil(words + film + 8);
  }
}

function attach(node, output) {
  endPreview(node);
  const film = node.motionPose || node.motionEditor ? null : output.motion_film?.[0]; // an editor has its own picture
  if (!output.motion_words?.length && !film) return;
  const fresh = !node.motionPlayer;
  if (fresh) {
    const player = (node.motionPlayer = new Player());
    const widget = node.addDOMWidget("motion_player", "motion_player", player.element, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => player.height(node.size[0] - 30),
    });
    widget.serialize = false;
    const { onRemoved, onAdded } = node;
    node.onRemoved = function () {
      player.close();
      onRemoved?.apply(this, arguments);
    };
    node.onAdded = function () {
      player.show(player.said, player.film); // as when a subgraph takes it in
      onAdded?.apply(this, arguments);
    };
    player.resized = () => {
      const least = node.computeSize();
      node.setSize([Math.max(node.size[0], least[0], 260), Math.max(least[1], 60)]);
      app.canvas?.setDirty(true, true);
    };
  }
  node.motionPlayer.show(output.motion_words, film);
  if (fresh || !film) node.motionPlayer.resized();
}

// The picture that the page shows while a node works stays below the film otherwise.
function endPreview(node) {
  const index = node.widgets?.findIndex(({ name }) => name === "$$canvas-image-preview") ?? -1;
  if (index >= 0) {
    node.widgets[index].onRemove?.();
    node.widgets.splice(index, 1);
  }
  node.imgs = undefined;
  if (app.nodePreviewImages) delete app.nodePreviewImages[node.id];
  // newer pages keep it in a store of their own
  const page = document.getElementById("vue-app")?.__vue_app__;
  page?.config.globalProperties.$pinia?._s.get("nodeOutput")?.revokePreviewsByExecutionId?.(String(node.id));
}

app.registerExtension({
  name: "comfyui_motion.player",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("CM_")) return;
    const before = node.onExecuted;
    node.onExecuted = function (output) {
      before?.apply(this, arguments);
      if (!output?.motion_words && !output?.motion_film) return;
      const { motion_words, motion_film } = output;
      this.properties.motion_shown = { motion_words, motion_film }; // a node that is not run again shows it after a reload, too
      attach(this, output);
    };
    const configured = node.onConfigure;
    node.onConfigure = function () {
      configured?.apply(this, arguments);
      if (this.properties?.motion_shown) attach(this, this.properties.motion_shown);
    };
  },
});
