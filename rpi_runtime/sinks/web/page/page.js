// Wires the page: link -> stage, chart and panel.

import { Chart } from "./chart.js";
import { Link } from "./link.js";
import { Panel } from "./panel.js";
import { Stage } from "./stage.js";

const find = (id) => document.getElementById(id);
const stage = new Stage(find("stage"));
const chart = new Chart(find("chart"), find("legend"));
const panel = new Panel();
let connection = { state: "connecting", detail: "" };

const NAMES = { connecting: "connecting", live: "live", lost: "no connection", paused: "paused" };

function notice() {
  const over = panel.status?.state === "ended"; // the server goes with the run, so there is no connection then
  const complaint = connection.state === "live" || over ? panel.complaint() : ["No connection", connection.detail];
  const fresh = !stage.message && connection.state !== "lost" ? ["Connecting", ""] : null;
  const [title, detail] = fresh || complaint || ["", ""];
  find("figures").classList.toggle("stale", connection.state !== "live");
  find("notice").hidden = !title || connection.state === "paused";
  find("notice").firstElementChild.textContent = title;
  find("notice").lastElementChild.textContent = detail;
}

function setConnection(state, detail = "") {
  if (state === "connecting" && connection.state === "lost") return; // still lost, as far as one can see
  connection = { state, detail };
  const pill = find("connection");
  pill.dataset.state = state;
  pill.textContent = state === "lost" && panel.status?.state === "ended" ? "ended" : NAMES[state];
  notice();
}

new Link({
  state: setConnection,
  text(message) {
    if (message.type === "hello") {
      stage.edges = message.edges;
      find("model").textContent = message.model;
    } else if (message.type === "status") {
      panel.status = message;
    }
    setConnection("live");
  },
  async frame(message, jpeg) {
    await stage.show(message, jpeg);
    panel.frame(message);
    chart.add(message.latency_ms);
  },
});

setInterval(() => {
  panel.draw();
  chart.draw();
  notice();
}, 250);

function toggle(id, apply) {
  find(id).addEventListener("click", (event) => {
    const pressed = event.currentTarget.getAttribute("aria-pressed") !== "true";
    event.currentTarget.setAttribute("aria-pressed", String(pressed));
    apply(pressed);
    stage.redraw();
  });
}

toggle("show-picture", (on) => find("stage").classList.toggle("no-picture", !on));
toggle("show-skeletons", (on) => (stage.shows.skeletons = on));
toggle("show-ids", (on) => (stage.shows.ids = on));
if (document.fullscreenEnabled) {
  find("fullscreen").addEventListener("click", () =>
    document.fullscreenElement ? document.exitFullscreen() : find("frame").requestFullscreen(),
  );
} else {
  find("fullscreen").hidden = true;
}
