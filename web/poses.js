// Poses as a document: keys by frame, each a few dials, and poses with a name. The same as comfyui_motion/poses.py, for the page.

export const FORMAT = "comfyui_motion.poses";

// Every dial: its name, what it says, from, to.
export const DIALS = [
  ["yaw", "Turn", -30, 30],
  ["pitch", "Nod", -25, 25],
  ["roll", "Tilt", -30, 30],
  ["gaze_x", "Look aside", -1, 1],
  ["gaze_y", "Look down", -1, 1],
  ["brows", "Brows", -1, 1],
  ["blink", "Blink", -1, 1],
  ["wink_left", "Wink left", -1, 1],
  ["wink_right", "Wink right", -1, 1],
  ["smile", "Smile", -1, 1],
  ["mouth_open", "Open mouth", -1, 1],
  ["mouth_wide", "Wide mouth", -1, 1],
  ["pucker", "Pucker", -1, 1],
];

// Poses to begin from.
export const READY = {
  "at rest": {},
  smiling: { smile: 0.9, brows: 0.2 },
  laughing: { smile: 1, mouth_open: 0.5, blink: 0.3, pitch: -5 },
  surprised: { brows: 1, mouth_open: 0.7, blink: -0.6 },
  winking: { wink_left: 1, smile: 0.5, roll: 4 },
  sad: { smile: -0.8, brows: -0.5, pitch: 8, gaze_y: 0.4 },
  kissing: { pucker: 1, blink: 0.6 },
  "looking aside": { yaw: 14, gaze_x: 0.6 },
};

export function read(text) {
  const nothing = { format: FORMAT, version: 1, keys: { 0: {} }, saved: {} };
  try {
    const document = JSON.parse(text);
    if (document?.format !== FORMAT || document.version !== 1) return nothing;
    const keys = Object.keys(document.keys ?? {}).length ? document.keys : { 0: {} };
    return { ...nothing, ...document, keys };
  } catch {
    return nothing;
  }
}

export const written = (poses) => JSON.stringify(poses);

export const frames = (poses) => Object.keys(poses.keys).map(Number).sort((a, b) => a - b);

const rounded = (dials) => Object.fromEntries(Object.entries(dials).map(([name, value]) => [name, Math.round(value * 1e3) / 1e3]).filter(([, value]) => value));

export function withKey(poses, frame, dials) {
  return { ...poses, keys: { ...poses.keys, [frame]: rounded(dials) } };
}

export function withoutKey(poses, frame) {
  const { [frame]: _, ...keys } = poses.keys;
  return { ...poses, keys: Object.keys(keys).length ? keys : { 0: {} } };
}

export function withSaved(poses, name, dials) {
  return { ...poses, saved: { ...poses.saved, [name]: rounded(dials) } };
}

// The dials of a frame: those of a key, eased between two, held beyond.
export function at(poses, frame) {
  const marks = frames(poses);
  const before = Math.max(marks[0], ...marks.filter((mark) => mark <= frame));
  const after = marks.find((mark) => mark >= frame) ?? before;
  const [from, to] = [poses.keys[before], poses.keys[after]];
  if (after <= before) return { ...from };
  const share = (frame - before) / (after - before);
  const eased = share * share * (3 - 2 * share);
  return Object.fromEntries(DIALS.map(([name]) => [name, (1 - eased) * (from[name] ?? 0) + eased * (to[name] ?? 0)]));
}
