// The figures beside the picture; refreshed a few times a second, so that they can be read.

import { colourOf } from "./stage.js";

const find = (id) => document.getElementById(id);
const ABSENT_MS = 2500; // beyond this the picture counts as standing still

export class Panel {
  constructor() {
    this.status = null;
    this.message = null;
    this.drawn = [];
    this.ages = [];
    this.lastFrameAt = 0;
  }

  frame(message) {
    const now = performance.now();
    this.message = message;
    this.lastFrameAt = now;
    this.drawn = [...this.drawn.filter((time) => now - time < 3000), now];
    this.ages = [...this.ages.slice(-30), message.age_ms];
  }

  draw() {
    this.drawFigures();
    this.drawHeat();
    this.drawPeople();
  }

  /** What is wrong with the picture while the connection is fine; empty when nothing is. */
  complaint() {
    if (!this.status) return null;
    if (this.status.state === "lost") return ["The camera is lost", "It is looked for; the picture comes back by itself"];
    if (this.status.state === "opening") return ["The camera is being opened", ""];
    if (this.status.state === "ended") return ["The recording is over", "This is its last picture"];
    if (performance.now() - this.lastFrameAt > ABSENT_MS && this.status.silent_s > ABSENT_MS / 1000) {
      return ["No frame for a while", "The picture comes back by itself"];
    }
    return null;
  }

  drawFigures() {
    const { status, message } = this;
    if (status) {
      setFigure("fps", status.fps.toFixed(status.fps < 10 ? 1 : 0), "");
      const span = this.drawn.at(-1) - this.drawn[0]; // NaN of none, 0 of several in one turn
      const shown = span > 0 ? (1000 * (this.drawn.length - 1)) / span : 0;
      find("fps-more").textContent = `${shown.toFixed(shown < 10 ? 1 : 0)} shown here`;
      const viewers = `${status.viewers} ${status.viewers === 1 ? "viewer" : "viewers"}`;
      const problems = (status.problems || []).map((problem) => `; ${problem}`).join("");
      find("uptime").textContent = `${status.frames.toLocaleString()} frames, ${status.dropped.toLocaleString()} dropped, ${viewers}${problems}`;
    }
    if (message) {
      const known = !status || status.state === "running"; // without pictures nobody knows who is there
      setFigure("count", known ? String(message.people.length) : "–", "");
      const refined = message.refined === undefined ? "" : `, ${message.refined} refined`;
      find("count-more").textContent = `${message.width} × ${message.height}${refined}`;
      const sorted = [...this.ages].sort((a, b) => a - b);
      setFigure("age", sorted[Math.floor(sorted.length / 2)].toFixed(0), "ms");
      find("age-more").textContent = "from light to poses";
    }
  }

  drawHeat() {
    if (!this.status) return;
    const { celsius, throttled, heat_level: level, heat } = this.status;
    setFigure("celsius", celsius === null ? "–" : celsius.toFixed(1), celsius === null ? "" : "°C");
    const text = throttled ? "throttled" : level ? `slower by ${level} step${level > 1 ? "s" : ""}` : celsius === null ? "not known here" : "not throttled";
    find("celsius-more").textContent = text;
    find("celsius-more").title = heat;
    find("heat").className = `tile ${throttled ? "hot" : level || celsius > 75 ? "warm" : ""}`;
  }

  drawPeople() {
    const people = this.message ? this.message.people : [];
    find("nobody").hidden = people.length > 0;
    find("list").replaceChildren(
      ...people.map((person, place) => {
        const row = document.createElement("li");
        const chip = document.createElement("span");
        chip.className = "chip";
        chip.style.background = colourOf(person, place);
        const more = document.createElement("b");
        const count = Object.keys(person.keypoints).length;
        const what = count || !person.box ? `${count} keypoints` : "box";
        more.textContent = `${what}, score ${person.score.toFixed(person.score < 10 ? 2 : 1)}`;
        row.append(chip, person.id ? `Person ${person.id}` : "Person", more);
        return row;
      }),
    );
  }
}

function setFigure(id, text, unit) {
  const small = document.createElement("small");
  small.textContent = unit;
  find(id).replaceChildren(text, small);
}
