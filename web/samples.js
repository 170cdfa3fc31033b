// The pack's sample picture and clip, seen on their node before anything has run.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const address = (name) => api.apiURL(`/comfyui_motion/sample?${new URLSearchParams({ name })}`);

function pane(kind) {
  const element = document.createElement(kind);
  element.style.cssText = "flex:1;min-width:0;min-height:0;object-fit:contain;border-radius:4px";
  if (kind === "video") Object.assign(element, { muted: true, loop: true, autoplay: true, playsInline: true });
  return element;
}

app.registerExtension({
  name: "comfyui_motion.samples",
  nodeCreated(node) {
    if (node.comfyClass !== "CM_SampleMotion") return;
    const row = document.createElement("div");
    row.style.cssText = "display:flex;gap:6px;width:100%;height:100%";
    const panes = { picture: pane("img"), clip: pane("video") };
    row.append(panes.picture, panes.clip);
    const show = () => {
      for (const widget of node.widgets ?? []) {
        if (panes[widget.name] && widget.value) panes[widget.name].src = address(widget.value);
      }
    };
    const widget = node.addDOMWidget("motion_samples", "motion_samples", row, { serialize: false, hideOnZoom: false, getMinHeight: () => 120 });
    widget.serialize = false;
    for (const choice of node.widgets) {
      if (!panes[choice.name]) continue;
      const before = choice.callback;
      choice.callback = function () {
        before?.apply(this, arguments);
        show();
      };
    }
    const configured = node.onConfigure;
    node.onConfigure = function () {
      configured?.apply(this, arguments);
      show();
    };
    show();
  },
});
