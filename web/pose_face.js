// The expression editor on Pose Face: dials, keys in time, poses with names; the picture follows while one drags. The node's `poses` text is all that is kept.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { at, DIALS, frames, read, READY, withKey, withoutKey, withSaved, written } from "./poses.js";

const CSS = {
  root: "display:flex;flex-direction:column;gap:4px;width:100%;height:100%;min-height:0;font:12px sans-serif;color:var(--input-text,#ccc)",
  picture: "flex:1;min-height:0;width:100%;object-fit:contain;border-radius:4px;background:#111",
  row: "flex:none;display:flex;gap:4px;align-items:center",
  dials: "flex:none;display:grid;grid-template-columns:auto 1fr 3.2em;gap:2px 6px;align-items:center",
  button: "flex:1;padding:2px 4px;border:0;border-radius:4px;cursor:pointer;font:11px sans-serif;color:inherit;background:var(--comfy-input-bg,#333)",
  field: "flex:1;min-width:0;padding:2px 4px;border:0;border-radius:4px;font:11px sans-serif;color:inherit;background:var(--comfy-input-bg,#333)",
};
const HINT = "Run once, then drag: the picture follows. Run again for the frames.";

const make = (kind, css, more = {}) => {
  const element = Object.assign(document.createElement(kind), more);
  element.style.cssText = css;
  return element;
};

class Editor {
  constructor(node, widget) {
    Object.assign(this, { node, widget, frame: 0, past: [] });
    this.element = make("div", CSS.root, { className: "motion-pose" });
    this.picture = make("img", CSS.picture, { alt: "" });
    this.hint = make("div", "flex:none;opacity:0.75", { textContent: HINT });
    this.element.append(this.picture, this.hint, this.poseRow(), this.dialGrid(), this.timeRow());
    this.refresh();
  }

  get poses() {
    return read(this.widget.value);
  }

  // Poses to begin from, those with a name, and a name for this one.
  poseRow() {
    const row = make("div", CSS.row);
    this.choice = make("select", CSS.field);
    this.choice.addEventListener("change", () => {
      const chosen = this.poses.saved[this.choice.value] ?? READY[this.choice.value];
      if (chosen) this.set(chosen);
      this.choice.selectedIndex = 0;
    });
    this.name = make("input", CSS.field, { placeholder: "name", className: "motion-name" });
    this.name.addEventListener("keydown", (event) => event.stopPropagation());
    const keep = make("button", CSS.button + ";flex:none", { textContent: "Save pose" });
    keep.addEventListener("click", () => this.name.value && this.keep(written(withSaved(this.poses, this.name.value, this.now()))));
    const undo = make("button", CSS.button + ";flex:none", { textContent: "Undo" });
    undo.addEventListener("click", () => this.past.length && this.put(this.past.pop()));
    row.append(this.choice, this.name, keep, undo);
    return row;
  }

  dialGrid() {
    const grid = make("div", CSS.dials);
    this.dials = {};
    for (const [name, says, from, to] of DIALS) {
      const slider = make("input", "min-width:0", { type: "range", min: from, max: to, step: (to - from) / 200, value: 0, className: "motion-dial" });
      slider.dataset.dial = name;
      const value = make("span", "text-align:right", { textContent: "0" });
      slider.addEventListener("pointerdown", (event) => {
        event.stopPropagation();
        this.past.push(this.widget.value);
      });
      slider.addEventListener("input", () => this.turn(name, Number(slider.value)));
      slider.addEventListener("change", () => this.keep(this.widget.value, false));
      slider.addEventListener("dblclick", () => this.turn(name, 0));
      grid.append(make("label", "", { textContent: says }), slider, value);
      this.dials[name] = { slider, value };
    }
    return grid;
  }

  timeRow() {
    const row = make("div", CSS.row);
    this.time = make("input", "flex:2;min-width:0", { type: "range", min: 0, max: 48, value: 0, className: "motion-time" });
    this.time.addEventListener("input", () => this.seek(Number(this.time.value)));
    this.label = make("span", "flex:none;min-width:5.5em");
    row.append(this.label, this.time);
    for (const [text, title, act] of [
      ["Set key", "This pose, in this frame", () => this.set(this.now())],
      ["No key", "Removes the pose of this frame", () => this.keep(written(withoutKey(this.poses, this.frame)))],
    ]) {
      const button = make("button", CSS.button + ";flex:none", { textContent: text, title });
      button.addEventListener("click", act);
      row.append(button);
    }
    return row;
  }

  now() {
    return Object.fromEntries(DIALS.map(([name]) => [name, Number(this.dials[name].slider.value)]));
  }

  turn(name, value) {
    this.widget.value = written(withKey(this.poses, this.frame, { ...at(this.poses, this.frame), [name]: value }));
    this.refresh();
  }

  set(dials) {
    this.keep(written(withKey(this.poses, this.frame, dials)));
  }

  keep(text, undoable = true) {
    if (undoable) this.past.push(this.widget.value);
    this.put(text);
  }

  put(text) {
    this.widget.value = text;
    this.widget.callback?.(text);
    this.node.graph?.change?.();
    this.refresh();
  }

  seek(frame) {
    this.frame = frame;
    this.refresh();
  }

  refresh() {
    const poses = this.poses;
    const keyed = frames(poses);
    const dials = at(poses, this.frame);
    for (const [name, { slider, value }] of Object.entries(this.dials)) {
      slider.value = dials[name] ?? 0;
      value.textContent = Number(Number(dials[name] ?? 0).toFixed(2));
    }
    this.time.max = Math.max(48, keyed[keyed.length - 1] + 24);
    this.time.value = this.frame;
    this.label.textContent = `${keyed.includes(this.frame) ? "◆" : "◇"} frame ${this.frame}`;
    this.label.title = `Poses at ${keyed.join(", ")}`;
    const names = ["Poses …", ...Object.keys(READY), ...Object.keys(poses.saved)];
    this.choice.replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { textContent: name, value: name })));
    this.follow(dials);
  }

  // One picture is asked for at a time, the latest dials next.
  async follow(dials) {
    this.wanted = dials;
    if (!this.token || this.asking) return;
    this.asking = true;
    try {
      while (this.wanted) {
        const body = JSON.stringify({ token: this.token, dials: this.wanted });
        this.wanted = null;
        const began = performance.now();
        const answer = await api.fetchApi("/comfyui_motion/pose", { method: "POST", body });
        if (!answer.ok) {
          this.hint.textContent = (await answer.json().catch(() => ({}))).error ?? HINT;
          this.token = null;
          return;
        }
        const address = URL.createObjectURL(await answer.blob());
        URL.revokeObjectURL(this.picture.src);
        this.picture.src = address;
        this.element.dataset.took = Math.round(performance.now() - began);
        this.hint.textContent = HINT;
      }
    } finally {
      this.asking = false;
    }
  }

  opened(token) {
    this.token = token;
    this.follow(at(this.poses, this.frame));
  }
}

app.registerExtension({
  name: "comfyui_motion.pose_face",
  nodeCreated(node) {
    if (node.comfyClass !== "CM_PoseFace") return;
    const text = node.widgets?.find(({ name }) => name === "poses");
    if (!text) return;
    const editor = (node.motionPose = new Editor(node, text));
    const widget = node.addDOMWidget("motion_pose", "motion_pose", editor.element, { serialize: false, hideOnZoom: false, getMinHeight: () => 560 });
    widget.serialize = false;
    node.setSize([Math.max(node.size[0], 360), Math.max(node.size[1], node.computeSize()[1])]);
    const executed = node.onExecuted;
    node.onExecuted = function (output) {
      executed?.apply(this, arguments);
      const token = output?.motion_pose?.[0]?.token;
      if (!token) return;
      this.properties.motion_pose = token;
      editor.opened(token);
    };
    const configured = node.onConfigure;
    node.onConfigure = function () {
      configured?.apply(this, arguments);
      editor.refresh();
      if (this.properties?.motion_pose) editor.opened(this.properties.motion_pose);
    };
  },
});
