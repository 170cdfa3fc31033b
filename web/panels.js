// Which parts of a film's frames are shown where. A film has its panels side by side; see nodes/film.py.

export const VIEWS = { result: "Result", beside: "With the clip", slider: "Before | after" };

// The views that a film with these panels offers, the first of them the one to begin with.
export function views(panels) {
  return Object.keys(VIEWS).filter((view) => (view === "beside" ? panels.includes("driver") : view !== "slider" || panels.includes("before")));
}

// Pieces to copy, each `size` wide, `from` in the film's frame `to` in the picture, and the picture's width and height.
export function panel({ panels, widths }, view, split, height) {
  const start = (name) => widths.slice(0, panels.indexOf(name)).reduce((sum, width) => sum + width, 0);
  const width = widths[panels.indexOf("after")];
  const after = { from: start("after"), to: 0, size: width };
  if (view === "beside") {
    const driver = widths[panels.indexOf("driver")];
    return { pieces: [{ from: start("driver"), to: 0, size: driver }, { ...after, to: driver }], width: driver + width, height };
  }
  if (view !== "slider") return { pieces: [after], width, height };
  const left = Math.round(split * width);
  const pieces = [
    { from: start("before"), to: 0, size: left },
    { from: start("after") + left, to: left, size: width - left },
  ];
  return { pieces: pieces.filter(({ size }) => size > 0), width, height };
}
