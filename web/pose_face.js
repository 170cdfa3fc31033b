// The expression editor on Pose Face: dials, keys in time, poses with names; the picture follows while one drags. The node's `poses` text is all that is kept.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { button, foldText, make, place, STYLE } from "./dom.js";
import { at, DIALS, frames, read, READY, withKey, withoutKey, withSaved, written } from "./poses.js";

const CSS = {
  // beside one another where the node is wide, else one below the other
  root: "display:grid;gap:6px;width:100%;height:100%;min-height:0;font:12px sans-serif;color:var(--input-text,#ccc);" +
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,270px),1fr));grid-template-rows:minmax(0,1fr) auto",
  picture: "min-height:0;height:100%;width:100%;object-fit:contain;border-radius:4px;background:#111",
  panel: "display:flex;flex-direction:column;gap:4px;min-width:0;align-self:center",
  dials: "flex:none;display:grid;grid-template-columns:auto 1fr 3.2em;gap:2px 6px;align-items:center",
};
const HINT = "Run once, then drag: the picture follows. Run again for the frames.";
const WIDE = 600; // pixels: a node so wide has its dials beside the picture
const HEIGHT = { wide: 400, narrow: 640 }; // that the editor takes at least

class Editor {
  constructor(node, widget) {
    Object.assign(this, { node, widget, frame: 0, past: [] });
    this.element = make("div", CSS.root, { className: "motion-pose" });
    this.picture = make("img", CSS.picture, { alt: "" });
    this.hint = make("div", STYLE.hint, { textContent: HINT });
    this.keys = make("div", STYLE.row, { className: "motion-keys" });
    const panel = make("div", CSS.panel);
    panel.append(this.hint, this.poseRow(), this.dialGrid(), this.timeRow(), this.keys);
    this.element.append(this.picture, panel);
    this.refresh();
  }

  get poses() {
    return read(this.widget.value);
  }

  // Poses to begin from, those with a name, and a name for this one.
  poseRow() {
    const row = make("div", STYLE.row);
    this.choice = make("select", STYLE.field);
    this.choice.addEventListener("change", () => {
      const chosen = this.poses.saved[this.choice.value] ?? READY[this.choice.value];
      if (chosen) this.set(chosen);
      this.choice.selectedIndex = 0;
    });
    this.name = make("input", STYLE.field, { placeholder: "name", className: "motion-name" });
    this.name.addEventListener("keydown", (event) => event.stopPropagation());
    const save = () => this.name.value && this.keep(written(withSaved(this.poses, this.name.value, this.now())));
    row.append(
      this.choice,
      this.name,
      button("Save pose", "Keeps these dials under that name, in this workflow", save),
      button("Undo", "Takes the last change back", () => this.past.length && this.put(this.past.pop())),
    );
    return row;
  }

  dialGrid() {
    const grid = make("div", CSS.dials);
    this.dials = {};
    for (const [name, says, from, to] of DIALS) {
      const step = (to - from) / 200;
      const slider = make("input", "min-width:0", { type: "range", min: from, max: to, step, value: 0, className: "motion-dial" });
      slider.dataset.dial = name;
      slider.title = "Double-click: back to 0";
      const value = make("span", "text-align:right", { textContent: "0" });
      slider.addEventListener("pointerdown", (event) => {
        event.stopPropagation();
        this.past.push(this.widget.value);
        this.dragging = true;
      });
      for (const end of ["pointerup", "pointercancel"]) slider.addEventListener(end, () => this.dropped());
      slider.addEventListener("input", () => this.turn(name, Number(slider.value)));
      slider.addEventListener("change", () => this.keep(this.widget.value, false));
      slider.addEventListener("dblclick", () => this.turn(name, 0));
      grid.append(make("label", "", { textContent: says }), slider, value);
      this.dials[name] = { slider, value };
    }
    return grid;
  }

  timeRow() {
    const row = make("div", STYLE.row);
    this.time = make("input", "flex:1;min-width:80px", { type: "range", min: 0, max: 48, value: 0, className: "motion-time" });
    this.time.addEventListener("input", () => this.seek(Number(this.time.value)));
    this.label = make("span", "flex:none;min-width:5.5em");
    row.append(
      this.label,
      this.time,
      button("Set key", "This pose, in this frame", () => this.set(this.now())),
      button("Remove key", "Removes the pose of this frame", () => this.keep(written(withoutKey(this.poses, this.frame)))),
      button("Text", "Shows what is kept as text, to copy it", () => this.unfold?.()),
    );
    return row;
  }

  dropped() {
    this.dragging = false;
    this.follow(at(this.poses, this.frame));
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
    const jump = (frame) => button(`◆ ${frame}`, `The pose of frame ${frame}`, () => this.seek(frame), frame === this.frame ? "outline:1px solid #6af" : "");
    this.keys.replaceChildren(...(keyed.length > 1 ? keyed.map(jump) : []));
    const names = ["Poses …", ...Object.keys(READY), ...Object.keys(poses.saved)];
    this.choice.replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { textContent: name, value: name })));
    this.follow(dials);
  }

  // One picture is asked for at a time, the latest dials next: a smaller one while a dial is held.
  async follow(dials, draft = Boolean(this.dragging)) {
    this.wanted = { dials, draft, frame: this.frame };
    if (!this.token || this.asking) return;
    this.asking = true;
    try {
      while (this.wanted) {
        const asked = { token: this.token, ...this.wanted };
        this.wanted = null;
        await this.ask(asked);
      }
    } catch (error) {
      this.token = null;
      this.hint.textContent = error.message || HINT;
    } finally {
      this.asking = false;
    }
  }

  async ask(asked) {
    const began = performance.now();
    const answer = await api.fetchApi("/comfyui_motion/pose", { method: "POST", body: JSON.stringify(asked) });
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? "");
    const address = URL.createObjectURL(await answer.blob());
    URL.revokeObjectURL(this.picture.src);
    this.picture.src = address;
    await this.picture.decode().catch(() => {});
    this.hint.textContent = HINT;
    (this.took ??= []).push(Math.round(performance.now() - began));
  }

  // A new picture is looked at by the host in both sizes, the smaller first, so that no drag waits for it.
  async opened(token) {
    this.token = token;
    await this.follow(at(this.poses, this.frame), true);
    await this.follow(at(this.poses, this.frame), false);
  }
}

app.registerExtension({
  name: "comfyui_motion.pose_face",
  nodeCreated(node) {
    if (node.comfyClass !== "CM_PoseFace") return;
    const text = node.widgets?.find(({ name }) => name === "poses");
    if (!text) return;
    const editor = (node.motionPose = new Editor(node, text));
    place(node, "motion_pose", editor.element, () => (node.size[0] < WIDE ? HEIGHT.narrow : HEIGHT.wide));
    node.setSize([Math.max(node.size[0], 640), node.size[1]]);
    editor.unfold = foldText(node, text);
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
