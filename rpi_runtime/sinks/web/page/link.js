// The WebSocket: frames come as 4 bytes of length, JSON, JPEG; each is confirmed once it is drawn.

const FIRST_WAIT_MS = 500;
const MOST_WAIT_MS = 10000;
const SILENT_MS = 6000; // the server says something every second

export class Link {
  /** handlers: frame(message, jpeg) -> Promise, text(message), state(name, detail) */
  constructor(handlers) {
    this.handlers = handlers;
    this.wait = FIRST_WAIT_MS;
    this.socket = null;
    this.asking = false;
    this.timer = 0;
    this.heard = 0;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.pause() : this.connect()));
    window.addEventListener("online", () => this.connect());
    window.addEventListener("pagehide", () => this.pause());
    setInterval(() => this.watch(), 1000);
    this.connect();
  }

  async connect() {
    if (this.socket || this.asking || document.hidden) return;
    clearTimeout(this.timer);
    this.handlers.state("connecting");
    this.asking = true;
    const ticket = await askForTicket();
    this.asking = false;
    if (this.socket || document.hidden) return;
    const place = new URL(`live?ticket=${ticket}`, location.href); // relative: a proxy may have put a prefix before it
    place.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    place.hash = "";
    const socket = new WebSocket(place);
    this.socket = socket;
    this.heard = performance.now();
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.receive(socket, event.data);
    socket.onclose = () => this.lost(socket);
  }

  /** A hidden page asks for nothing: the machine encodes no picture for it. */
  pause() {
    const socket = this.socket;
    this.socket = null;
    clearTimeout(this.timer);
    if (socket) socket.close();
    this.handlers.state("paused");
  }

  async receive(socket, data) {
    if (socket !== this.socket) return;
    this.heard = performance.now();
    if (typeof data === "string") {
      this.wait = FIRST_WAIT_MS;
      this.handlers.text(JSON.parse(data));
      return;
    }
    const length = new DataView(data).getUint32(0);
    const message = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    const jpeg = new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" });
    await this.handlers.frame(message, jpeg);
    if (socket === this.socket && socket.readyState === WebSocket.OPEN) socket.send(String(message.frame));
  }

  watch() {
    if (this.socket && performance.now() - this.heard > SILENT_MS) {
      const socket = this.socket;
      socket.close();
      this.lost(socket);
    }
  }

  async lost(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    const wait = this.wait * (0.5 + Math.random() / 2);
    this.wait = Math.min(this.wait * 2, MOST_WAIT_MS);
    this.timer = setTimeout(() => this.connect(), wait);
    this.handlers.state("lost", "Trying again by itself");
    const reason = await whyRefused();
    if (reason && !this.socket) this.handlers.state("lost", reason);
  }
}

/** Behind a proxy the WebSocket's Origin may be another than the server expects; the ticket shows that we are its page. */
async function askForTicket() {
  try {
    const answer = await fetch("ticket", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    return answer.ok ? await answer.text() : "";
  } catch {
    return "";
  }
}

/** A WebSocket does not say why it was refused; an ordinary request does. */
async function whyRefused() {
  try {
    const answer = await fetch("healthz", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (answer.status === 401) location.assign("login");
    return answer.ok ? "It answers, but takes no more viewers. Trying again by itself" : "";
  } catch {
    return "";
  }
}
