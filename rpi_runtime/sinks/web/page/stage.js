// The picture and the people over it, drawn together, so that they are always of the same frame.

// Eight colours that stay apart for colour-blind viewers too (Okabe and Ito, Color Universal Design, 2008).
const PALETTE = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff"];

export const colourOf = (person, place) => PALETTE[(person.id || place) % PALETTE.length];

export class Stage {
  constructor(root) {
    this.root = root;
    this.picture = root.querySelector("#picture");
    this.overlay = root.querySelector("#overlay");
    this.edges = [];
    this.message = null;
    this.shows = { skeletons: true, ids: true };
    new ResizeObserver(() => this.redraw()).observe(this.picture);
  }

  /** Draw one frame in the browser's next repaint. */
  async show(message, jpeg) {
    const bitmap = await createImageBitmap(jpeg);
    await new Promise((done) => requestAnimationFrame(done));
    if (this.picture.width !== bitmap.width || this.picture.height !== bitmap.height) {
      this.picture.width = bitmap.width;
      this.picture.height = bitmap.height;
    }
    this.picture.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
    bitmap.close();
    this.message = message;
    this.redraw();
    this.root.dataset.frame = message.frame;
  }

  /** Where the picture lies on the overlay, in the overlay's own pixels: origin and scale. */
  place() {
    const ratio = window.devicePixelRatio || 1;
    const outer = this.overlay.getBoundingClientRect();
    const inner = this.picture.getBoundingClientRect();
    const scale = Math.min(inner.width / this.message.width, inner.height / this.message.height);
    return {
      x: (inner.left - outer.left + (inner.width - scale * this.message.width) / 2) * ratio,
      y: (inner.top - outer.top + (inner.height - scale * this.message.height) / 2) * ratio,
      scale: scale * ratio,
      ratio,
    };
  }

  redraw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.overlay.clientWidth * ratio);
    const height = Math.round(this.overlay.clientHeight * ratio);
    if (this.overlay.width !== width || this.overlay.height !== height) {
      this.overlay.width = width;
      this.overlay.height = height;
    }
    const pen = this.overlay.getContext("2d");
    pen.clearRect(0, 0, width, height);
    if (!this.message) return;
    const place = this.place();
    this.message.people.forEach((person, index) => {
      const colour = colourOf(person, index);
      const points = new Map(
        Object.entries(person.keypoints).map(([name, [x, y]]) => [name, [place.x + x * place.scale, place.y + y * place.scale]]),
      );
      const corners = cornersOf(person, place);
      if (this.shows.skeletons && !points.size) drawBox(pen, corners, colour, place.ratio);
      if (this.shows.skeletons) this.drawSkeleton(pen, points, colour, place.ratio);
      const top = points.size ? [...points.values()] : corners;
      if (this.shows.ids && person.id) drawLabel(pen, top, String(person.id), colour, place.ratio);
    });
  }

  drawSkeleton(pen, points, colour, ratio) {
    const bones = this.edges.filter(([a, b]) => points.has(a) && points.has(b));
    pen.lineCap = "round";
    for (const [ink, width] of [["rgb(0 0 0 / 55%)", 5.5], [colour, 3]]) {
      pen.strokeStyle = ink;
      pen.lineWidth = width * ratio;
      pen.beginPath();
      for (const [a, b] of bones) {
        pen.moveTo(...points.get(a));
        pen.lineTo(...points.get(b));
      }
      pen.stroke();
    }
    for (const [x, y] of points.values()) {
      pen.beginPath();
      pen.arc(x, y, 3.6 * ratio, 0, 2 * Math.PI);
      pen.fillStyle = "#fff";
      pen.fill();
      pen.lineWidth = 1.8 * ratio;
      pen.strokeStyle = colour;
      pen.stroke();
    }
  }
}

/** The two upper corners and the two lower ones of a person's box on the overlay; none where there is no box. */
function cornersOf(person, place) {
  if (!person.box) return [];
  const [x, y, width, height] = person.box.map((value) => value * place.scale);
  const [left, top] = [place.x + x, place.y + y];
  return [
    [left + width / 2, top],
    [left, top],
    [left + width, top],
    [left + width, top + height],
    [left, top + height],
  ];
}

/** The box of a person whom a detector found and nobody has looked at closely yet. */
function drawBox(pen, corners, colour, ratio) {
  if (!corners.length) return;
  const [, [left, top], , [right, bottom]] = corners;
  for (const [ink, width] of [["rgb(0 0 0 / 55%)", 4.5], [colour, 2.5]]) {
    pen.strokeStyle = ink;
    pen.lineWidth = width * ratio;
    pen.setLineDash([10 * ratio, 6 * ratio]);
    pen.strokeRect(left, top, right - left, bottom - top);
  }
  pen.setLineDash([]);
}

function drawLabel(pen, points, text, colour, ratio) {
  const highest = points.reduce((a, b) => (b[1] < a[1] ? b : a), [0, Infinity]);
  if (!Number.isFinite(highest[1])) return;
  pen.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  const width = pen.measureText(text).width + 12 * ratio;
  const height = 20 * ratio;
  const x = Math.min(Math.max(highest[0] - width / 2, 0), pen.canvas.width - width);
  const y = Math.max(highest[1] - height - 9 * ratio, 0);
  pen.fillStyle = colour;
  pen.beginPath();
  pen.roundRect(x, y, width, height, height / 2);
  pen.fill();
  pen.fillStyle = colour === "#0072b2" ? "#fff" : "#0b1116";
  pen.textBaseline = "middle";
  pen.fillText(text, x + 6 * ratio, y + height / 2 + ratio);
}
