// Latency of each stage over the latest frames, as stacked columns.

const FRAMES = 100;
const COLOURS = ["#7c8b98", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00"];

export class Chart {
  constructor(canvas, legend) {
    this.canvas = canvas;
    this.legend = legend;
    this.frames = [];
    this.stages = [];
  }

  add(latency) {
    this.frames.push(latency);
    if (this.frames.length > FRAMES) this.frames.shift();
    const stages = merged(this.stages, Object.keys(latency));
    if (stages.length > this.stages.length) this.setStages(stages);
  }

  setStages(stages) {
    this.stages = stages;
    this.legend.replaceChildren(
      ...stages.map((stage, index) => {
        const row = document.createElement("li");
        const chip = document.createElement("span");
        chip.className = "chip";
        chip.style.background = COLOURS[index % COLOURS.length];
        row.append(chip, stage, document.createElement("b"));
        return row;
      }),
    );
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    if (!this.frames.length) return;
    const totals = this.frames.map((frame) => this.stages.reduce((sum, stage) => sum + (frame[stage] || 0), 0));
    const top = niceAbove(quantile(totals, 0.97) * 1.1);
    this.drawGrid(pen, width, height, top, ratio);
    this.drawColumns(pen, width, height, top, ratio);
    this.stages.forEach((stage, index) => {
      // of the frames that have it: behind a finder, most frames have no look at the whole picture
      const taken = this.frames.map((frame) => frame[stage]).filter((ms) => ms !== undefined);
      const median = taken.length ? quantile(taken, 0.5) : 0;
      this.legend.children[index].lastChild.textContent = median.toFixed(median < 10 ? 1 : 0);
    });
  }

  drawGrid(pen, width, height, top, ratio) {
    const style = getComputedStyle(this.canvas);
    pen.font = `${11 * ratio}px system-ui, sans-serif`;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const part of [0, 0.5, 1]) {
      const y = Math.round((height - 14 * ratio) * (1 - part) + 7 * ratio);
      pen.fillStyle = style.getPropertyValue("--line");
      pen.fillRect(34 * ratio, y, width, ratio);
      pen.fillStyle = style.getPropertyValue("--quiet");
      pen.fillText(String(+(top * part).toPrecision(3)), 28 * ratio, y);
    }
  }

  drawColumns(pen, width, height, top, ratio) {
    const left = 36 * ratio;
    const bottom = height - 7 * ratio;
    const tall = height - 14 * ratio;
    const step = (width - left) / FRAMES;
    this.frames.forEach((frame, place) => {
      const x = width - (this.frames.length - place) * step;
      let y = bottom;
      this.stages.forEach((stage, index) => {
        const high = Math.min(((frame[stage] || 0) / top) * tall, y - (bottom - tall));
        pen.fillStyle = COLOURS[index % COLOURS.length];
        pen.fillRect(x, y - high, Math.max(step - 0.6 * ratio, ratio), high);
        y -= high;
      });
    });
  }
}

/** The known stages and those of a frame, in the frame's order: a stage that a frame lacks keeps place and colour. */
function merged(known, latest) {
  const all = [...known];
  latest.forEach((stage, index) => {
    if (!all.includes(stage)) all.splice(index ? all.indexOf(latest[index - 1]) + 1 : 0, 0, stage);
  });
  return all;
}

function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)];
}

/** The next of 1, 2, 4, 10, 20, 40... */
function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 4, 10].map((factor) => factor * power).find((nice) => nice >= value) || 1;
}
