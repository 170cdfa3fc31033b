// What the editors on our nodes are made of.

export const STYLE = {
  root: "display:flex;flex-direction:column;gap:4px;width:100%;height:100%;min-height:0;" +
    "font:12px sans-serif;color:var(--input-text,#ccc)",
  row: "flex:none;display:flex;gap:4px;align-items:center;flex-wrap:wrap",
  button: "padding:2px 6px;border:0;border-radius:4px;cursor:pointer;font:11px sans-serif;" +
    "color:inherit;background:var(--comfy-input-bg,#333)",
  field: "flex:1;min-width:0;padding:2px 4px;border:0;border-radius:4px;font:11px sans-serif;" +
    "color:inherit;background:var(--comfy-input-bg,#333)",
  hint: "flex:none;opacity:0.8;line-height:1.3",
};

export function make(kind, css, more = {}) {
  const element = Object.assign(document.createElement(kind), more);
  element.style.cssText = css;
  return element;
}

export function button(text, title, act, css = "") {
  const made = make("button", `${STYLE.button};${css}`, { textContent: text, title, type: "button" });
  made.addEventListener("click", act);
  return made;
}

// The text that an editor writes is its node's truth, and nothing to look at: folded away until asked for.
export function foldText(node, widget) {
  const own = widget.computeLayoutSize;
  const show = (shown) => {
    widget.hidden = !shown;
    widget.options.hidden = !shown;
    widget.computeLayoutSize = shown ? own : () => ({ minHeight: 0, maxHeight: 0, minWidth: 0 });
    if (widget.element) widget.element.hidden = !shown;
    node.setSize([node.size[0], node.computeSize()[1]]);
    node.graph?.setDirtyCanvas?.(true, true);
  };
  show(false);
  return () => show(widget.hidden);
}

// Puts an editor on its node, below the widgets, at least as high as `getMinHeight` says.
export function place(node, name, element, getMinHeight) {
  const options = { serialize: false, hideOnZoom: false, getMinHeight };
  const widget = node.addDOMWidget(name, name, element, options);
  widget.serialize = false;
  return widget;
}
