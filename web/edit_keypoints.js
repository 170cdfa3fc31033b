// The editor on Edit Keypoints: points over the picture, to drag, pin and lock, with keys in single frames. The node's `edits` text is all that is kept.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { button, foldText, make, place, STYLE } from "./dom.js";
import { placed, read, toggled, withKey, withoutKey, written } from "./edits.js";

const NEAR = 14; // pixels within which a point is grabbed
const ONION = 6; // frames before and after that are seen as a trail
const CANVAS = "flex:1;min-height:0;width:100%;object-fit:contain;touch-action:none;cursor:crosshair;border-radius:4px;background:#111";
const HEIGHT = 420; // pixels of the node that the editor takes at least
const HINT = "Drag a point to set a key. Double-click removes it. Run again to use what you see.";
const EMPTY = "Run once to see the points here.";

const view = ({ filename, subfolder, type }) => api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);

class Editor {
  constructor(node, widget) {
    Object.assign(this, { node, widget, undone: [], past: [], frame: 0, clip: [], chosen: -1, grabbed: -1 });
    this.element = make("div", STYLE.root, { className: "motion-editor" });
    this.canvas = make("canvas", CANVAS, { width: 384, height: 384, tabIndex: 0 });
    this.time = make("input", "flex:3;min-width:0", { type: "range", min: 0, max: 0, value: 0 });
    this.label = make("span", "flex:none;min-width:64px;text-align:right");
    this.hint = make("div", STYLE.hint, { textContent: EMPTY });
    const buttons = make("div", STYLE.row);
    for (const [text, title, act] of [
      ["Undo", "Ctrl+Z", () => this.undo()],
      ["Redo", "Ctrl+Y", () => this.redo()],
      ["Pin", "The chosen point stands still through the clip", () => this.toggle("pinned")],
      ["Lock", "The chosen point is not taken along by its neighbours", () => this.toggle("locked")],
      ["Remove key", "Removes the chosen point's key in this frame", () => this.remove()],
      ["Clear", "Begins anew", () => this.change(read(""))],
      ["Text", "Shows what is kept as text, to copy it", () => this.unfold?.()],
    ]) {
      buttons.append(button(text, title, act, "flex:1"));
    }
    const times = make("div", STYLE.row);
    times.append(this.time, this.label);
    this.element.append(this.canvas, times, buttons, this.hint);
    this.video = make("video", "", { muted: true, playsInline: true, preload: "auto" });
    for (const event of ["loadeddata", "seeked"]) this.video.addEventListener(event, () => this.draw());
    this.time.addEventListener("input", () => this.seek(Number(this.time.value)));
    this.canvas.addEventListener("pointerdown", (event) => this.grab(event));
    this.canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const event of ["pointerup", "pointercancel"]) this.canvas.addEventListener(event, () => this.drop());
    this.canvas.addEventListener("dblclick", () => this.remove());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  get edits() {
    return read(this.widget.value);
  }

  get reach() {
    return this.node.widgets?.find(({ name }) => name === "reach")?.value ?? 0;
  }

  async show(given) {
    this.given = given;
    const answer = await fetch(view(given.points));
    if (!answer.ok) return; // the host has emptied its temporary folder: run again
    const { points, numbers } = await answer.json();
    Object.assign(this, { clip: points, numbers });
    this.time.max = points.length - 1;
    this.hint.textContent = HINT;
    if (given.filename) this.video.src = view(given);
    this.seek(Math.min(this.frame, points.length - 1));
  }

  seek(frame) {
    this.frame = frame;
    this.time.value = frame;
    if (this.given?.filename) this.video.currentTime = (Math.min(frame, this.given.frames - 1) + 0.5) / this.given.fps;
    this.draw();
  }

  change(edits) {
    this.past.push(this.widget.value);
    this.undone = [];
    this.keep(written(edits));
  }

  keep(text) {
    this.widget.value = text;
    this.widget.callback?.(text);
    this.node.graph?.change?.();
    this.draw();
  }

  undo() {
    if (!this.past.length) return;
    this.undone.push(this.widget.value);
    this.keep(this.past.pop());
  }

  redo() {
    if (!this.undone.length) return;
    this.past.push(this.widget.value);
    this.keep(this.undone.pop());
  }

  toggle(list) {
    if (this.chosen >= 0) this.change(toggled(this.edits, list, this.number(this.chosen)));
  }

  remove() {
    if (this.chosen >= 0) this.change(withoutKey(this.edits, this.number(this.chosen), this.frame));
  }

  number(index) {
    return this.numbers?.[index] ?? index;
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) this.seek(Math.min(this.clip.length - 1, Math.max(0, this.frame + step)));
    else if (event.ctrlKey && event.key === "z") this.undo();
    else if (event.ctrlKey && event.key === "y") this.redo();
    else if (event.key === "p") this.toggle("pinned");
    else if (event.key === "l") this.toggle("locked");
    else if (event.key === "Delete") this.remove();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // From the pointer to -1..1 of the picture, which fits into the element as a whole.
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = Math.min(box.width / this.canvas.width, box.height / this.canvas.height);
    const across = (event.clientX - box.left - (box.width - this.canvas.width * scale) / 2) / scale;
    const down = (event.clientY - box.top - (box.height - this.canvas.height * scale) / 2) / scale;
    return [(2 * across) / (this.canvas.width - 1) - 1, (2 * down) / (this.canvas.height - 1) - 1];
  }

  pixels([x, y]) {
    return [((x + 1) / 2) * (this.canvas.width - 1), ((y + 1) / 2) * (this.canvas.height - 1)];
  }

  points(frame = this.frame) {
    return this.clip.length ? placed(this.edits, this.clip, frame, this.reach, this.numbers) : [];
  }

  grab(event) {
    const [x, y] = this.pixels(this.place(event));
    const apart = this.points().map((place) => Math.hypot(this.pixels(place)[0] - x, this.pixels(place)[1] - y));
    const nearest = apart.indexOf(Math.min(...apart));
    this.chosen = nearest >= 0 && apart[nearest] < NEAR ? nearest : -1;
    this.grabbed = this.chosen;
    this.moved = false;
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus();
    event.stopPropagation();
    this.draw();
  }

  drag(event) {
    if (this.grabbed < 0) return;
    const edits = withKey(this.edits, this.number(this.grabbed), this.frame, this.place(event));
    if (!this.moved) this.past.push(this.widget.value);
    this.moved = true;
    this.undone = [];
    this.widget.value = written(edits);
    this.draw();
  }

  drop() {
    if (this.grabbed >= 0 && this.moved) this.keep(this.widget.value);
    this.grabbed = -1;
  }

  draw() {
    const { videoWidth, videoHeight } = this.video;
    if (videoWidth && (this.canvas.width !== videoWidth || this.canvas.height !== videoHeight)) {
      Object.assign(this.canvas, { width: videoWidth, height: videoHeight });
    }
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (videoWidth) pen.drawImage(this.video, 0, 0);
    this.label.textContent = this.clip.length ? `${this.frame + 1} / ${this.clip.length}` : "";
    const edits = this.edits;
    const now = this.points();
    if (this.chosen >= 0 && now[this.chosen]) this.trail(pen, this.chosen);
    const small = now.length > 120 ? 2 : 4;
    now.forEach((place, index) => this.dot(pen, place, index, edits, small));
  }

  trail(pen, index) {
    const from = Math.max(0, this.frame - ONION);
    const until = Math.min(this.clip.length - 1, this.frame + ONION);
    for (const [edited, colour] of [[false, "#888"], [true, "#fff"]]) {
      pen.strokeStyle = colour;
      pen.beginPath();
      for (let frame = from; frame <= until; frame++) {
        const place = edited ? this.points(frame)[index] : this.clip[frame][index];
        pen[frame === from ? "moveTo" : "lineTo"](...this.pixels(place));
      }
      pen.stroke();
    }
  }

  dot(pen, place, index, edits, small) {
    const number = this.number(index);
    const keyed = edits.keys[number]?.[this.frame];
    const [x, y] = this.pixels(place);
    const size = index === this.chosen || keyed ? 6 : edits.keys[number] ? 5 : small;
    pen.beginPath();
    if (edits.pinned.includes(number)) pen.rect(x - size, y - size, 2 * size, 2 * size);
    else pen.arc(x, y, size, 0, 2 * Math.PI);
    pen.fillStyle = keyed ? "#ff5" : edits.keys[number] ? "#fa5" : edits.locked.includes(number) ? "#777" : `hsl(${(index * 137.5) % 360} 80% 60%)`;
    pen.fill();
    pen.lineWidth = 1.5;
    pen.strokeStyle = index === this.chosen ? "#fff" : "#000";
    pen.stroke();
  }
}

app.registerExtension({
  name: "comfyui_motion.edit_keypoints",
  nodeCreated(node) {
    if (node.comfyClass !== "CM_EditKeypoints") return;
    const text = node.widgets?.find(({ name }) => name === "edits");
    if (!text) return;
    const editor = (node.motionEditor = new Editor(node, text));
    place(node, "motion_editor", editor.element, () => HEIGHT);
    node.setSize([Math.max(node.size[0], 380), node.size[1]]);
    editor.unfold = foldText(node, text);
    const executed = node.onExecuted;
    node.onExecuted = function (output) {
      executed?.apply(this, arguments);
      const given = output?.motion_edit?.[0];
      if (!given) return;
      this.properties.motion_edit = given;
      editor.show(given);
    };
    const configured = node.onConfigure;
    node.onConfigure = function () {
      configured?.apply(this, arguments);
      editor.past = [];
      if (this.properties?.motion_edit) editor.show(this.properties.motion_edit);
      else editor.draw();
    };
  },
});
