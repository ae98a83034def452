// One loop of animation frames for everything that moves.

type Painter = (now: number) => void;

const painters = new Set<Painter>();
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const CALM_MS = 1_000;
let isRunning = false;

/** Frames drawn in all, and the longest time between two in the last second: for tests and the curious. */
export const frames = { count: 0 };

function frame(now: number) {
  frames.count++;
  for (const painter of painters) painter(now);
  schedule();
}

function schedule() {
  isRunning = painters.size > 0;
  if (!isRunning) return;
  if (calm.matches) setTimeout(() => requestAnimationFrame(frame), CALM_MS);
  else requestAnimationFrame(frame);
}

/** Calls `painter` at each frame, sixty times a second, or once where motion is not wanted. */
export function paint(painter: Painter): () => void {
  painters.add(painter);
  if (!isRunning) schedule();
  return () => painters.delete(painter);
}

Object.assign(window, { afluenteFrames: frames });
