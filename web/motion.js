// Folds advanced inputs away in the classic canvas, which would leave them open. Right-click a node, Show Advanced, to see them.
import { app } from "../../scripts/app.js";

const HEIGHT = 20; // pixels of a widget,
const GAP = 4; // and below it

app.registerExtension({
  name: "comfyui_motion.advanced",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("CM_")) return;
    const folded = node.widgets?.filter((widget) => widget.options?.advanced) ?? [];
    if (!folded.length) return;
    for (const widget of folded) {
      widget.advanced = true;
      widget.computeSize = (width) => [width ?? 0, node.showAdvanced ? HEIGHT : -GAP];
    }
    node.setSize([node.size[0], node.computeSize()[1]]);
  },
});
