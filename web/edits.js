// Keypoints corrected by hand: the document, and where points are after it. The same as comfyui_motion/edits.py, for the page.

export const FORMAT = "comfyui_motion.edits";

export function read(text) {
  const nothing = { format: FORMAT, version: 1, keys: {}, pinned: [], locked: [] };
  try {
    const document = JSON.parse(text);
    return document?.format === FORMAT && document.version === 1 ? { ...nothing, ...document } : nothing;
  } catch {
    return nothing;
  }
}

export const written = (edits) => JSON.stringify(edits);

const clone = (edits) => JSON.parse(JSON.stringify(edits));

export function withKey(edits, point, frame, place) {
  const made = clone(edits);
  (made.keys[point] ??= {})[frame] = place.map((value) => Math.round(value * 1e5) / 1e5);
  return made;
}

export function withoutKey(edits, point, frame) {
  const made = clone(edits);
  delete made.keys[point]?.[frame];
  if (made.keys[point] && !Object.keys(made.keys[point]).length) delete made.keys[point];
  return made;
}

export function toggled(edits, list, point) {
  const made = clone(edits);
  made[list] = made[list].includes(point) ? made[list].filter((other) => other !== point) : [...made[list], point].sort((a, b) => a - b);
  return made;
}

// What a point's keys add to it in a frame. `path` is where the clip has it: a place [x, y] for each frame.
export function added(edits, point, frame, path) {
  const keys = Object.entries(edits.keys[point] ?? {}).map(([at, place]) => [Number(at), place]).sort((a, b) => a[0] - b[0]);
  const own = path[frame];
  if (edits.pinned.includes(point)) {
    const place = keys.length ? keys[0][1] : path[0];
    return [place[0] - own[0], place[1] - own[1]];
  }
  if (!keys.length) return [0, 0];
  const offset = ([at, place]) => [place[0] - path[at][0], place[1] - path[at][1]];
  const after = keys.find(([at]) => at > frame) ?? keys[keys.length - 1];
  const before = keys.filter(([at]) => at <= frame).pop() ?? keys[0];
  const share = after[0] === before[0] ? 0 : Math.min(1, Math.max(0, (frame - before[0]) / (after[0] - before[0])));
  const eased = share * share * (3 - 2 * share);
  const [from, to] = [offset(before), offset(after)];
  return from.map((value, axis) => value + (to[axis] - value) * eased);
}

// Where all points are in a frame. `clip` is frames of points of [x, y]; `reach` as on the node.
export function placed(edits, clip, frame, reach = 0, numbers = null) {
  const points = clip[frame];
  const number = (index) => numbers?.[index] ?? index;
  const index = (point) => (numbers ? numbers.indexOf(point) : point);
  const moved = [...new Set([...Object.keys(edits.keys).map(Number), ...edits.pinned])].filter((point) => index(point) >= 0);
  const change = moved.map((point) => added(edits, point, frame, clip.map((all) => all[index(point)])));
  return points.map((place, at) => {
    const own = moved.indexOf(number(at));
    if (own >= 0) return [place[0] + change[own][0], place[1] + change[own][1]];
    if (reach <= 0 || edits.locked.includes(number(at))) return place;
    const weight = moved.map((point) => {
      const other = points[index(point)];
      return Math.exp(-2 * (((place[0] - other[0]) ** 2 + (place[1] - other[1]) ** 2) / reach ** 2));
    });
    const total = Math.max(1, weight.reduce((sum, value) => sum + value, 0));
    return place.map((value, axis) => value + change.reduce((sum, by, i) => sum + (weight[i] * by[axis]) / total, 0));
  });
}
