// Charts of the last two minutes on canvases: lines, and shares stacked on each other. The newest point is at the right.

const SPAN_S = 120;
const GAP_S = 1.2; // points are half a second apart, or as far as frames are; no line joins two that are further apart

function prepare(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, sans-serif";
  return { pen, left: 34, right: width - 2, top: 6, bottom: height - 16, width, height };
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The next round number at or above the value: a scale that a person can read and that seldom changes.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value * 0.999) * power;
}

function axes(area, top, unit) {
  const { pen, left, right, bottom } = area;
  pen.strokeStyle = colour("--line");
  pen.fillStyle = colour("--dim");
  pen.lineWidth = 1;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const part of [0, 0.5, 1]) {
    const y = Math.round(bottom - part * (bottom - area.top)) + 0.5;
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(right, y);
    pen.stroke();
    pen.fillText(`${+(part * top).toPrecision(3)}${unit}`, left - 5, y);
  }
  pen.textBaseline = "alphabetic";
  pen.textAlign = "left";
  pen.fillText("−2 min", left, area.height - 3);
  pen.textAlign = "right";
  pen.fillText("now", right, area.height - 3);
}

const across = (area, time, now) => area.right - ((now - time) / SPAN_S) * (area.right - area.left);

// Runs of points without a gap; `value` gives null where a point has none, as between the frames of a slow loop.
function runs(points, value) {
  const found = [];
  let run = null, before = null;
  for (const point of points) {
    if (value(point) === null) continue;
    if (!before || point.time - before.time > Math.max(GAP_S, 3 / before.fps)) found.push((run = []));
    run.push(point);
    before = point;
  }
  return found;
}

// series: [{ value: point => number | null, colour, level?: number }]; a level is drawn as a dashed line.
export function drawLines(canvas, points, now, series, atLeast, level) {
  const area = prepare(canvas), { pen } = area;
  const seen = points.filter((point) => now - point.time <= SPAN_S);
  const highest = Math.max(atLeast, level || 0, ...seen.flatMap((point) => series.map(({ value }) => value(point) ?? 0)));
  const top = ceiling(highest), down = (value) => area.bottom - (value / top) * (area.bottom - area.top);
  axes(area, top, "");
  if (level) {
    pen.strokeStyle = colour("--warn");
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(area.left, down(level));
    pen.lineTo(area.right, down(level));
    pen.stroke();
    pen.setLineDash([]);
  }
  pen.lineWidth = 1.75;
  pen.lineJoin = "round";
  for (const line of series) {
    pen.strokeStyle = line.colour;
    for (const run of runs(seen, line.value)) {
      pen.beginPath();
      for (const point of run) pen.lineTo(across(area, point.time, now), down(line.value(point)));
      if (run.length === 1) pen.lineTo(across(area, run[0].time, now) + 1, down(line.value(run[0])));
      pen.stroke();
    }
  }
}

export function drawStack(canvas, points, now, colours) {
  const area = prepare(canvas), { pen } = area;
  const seen = points.filter((point) => now - point.time <= SPAN_S);
  const down = (share) => area.bottom - Math.min(1, share) * (area.bottom - area.top);
  for (const run of runs(seen, (point) => (point.shares.length ? 0 : null))) {
    let floor = run.map(() => 0);
    colours.forEach((fill, index) => {
      const ceilingOf = run.map((point, at) => floor[at] + point.shares[index]);
      const width = run.length === 1 ? 3 : 0; // one point alone would be a line without area
      pen.fillStyle = fill;
      pen.beginPath();
      run.forEach((point, at) => pen.lineTo(across(area, point.time, now) - width, down(ceilingOf[at])));
      if (width) pen.lineTo(across(area, run[0].time, now), down(ceilingOf[0]));
      if (width) pen.lineTo(across(area, run[0].time, now), down(floor[0]));
      for (let at = run.length - 1; at >= 0; at--) pen.lineTo(across(area, run[at].time, now) - width, down(floor[at]));
      pen.fill();
      floor = ceilingOf;
    });
  }
  axes(area, 100, "%");
}
