// The page of `rastos image boot --web`: xterm.js on the console's WebSocket, noVNC on the screen's. Nothing is decided here.
import { Terminal } from "./vendor/xterm/xterm.mjs";
import { FitAddon } from "./vendor/xterm-addon-fit/addon-fit.mjs";
import RFB from "./vendor/novnc/core/rfb.js";

const AGAIN = 2000; // ms until a lost connection is tried again
const part = (id) => document.getElementById(id);
const address = (name) => new URL(name, location.href).href.replace(/^http/, "ws");
let ended = false;

function state(name, words) {
  part("state").className = name;
  part("state").setAttribute("aria-label", name);
  part("note").textContent = words;
}

// the console

const terminal = new Terminal({
  cursorBlink: true, fontSize: 14, scrollback: 20000,
  fontFamily: '"DejaVu Sans Mono", Menlo, Consolas, monospace',
  theme: { background: "#14171c", foreground: "#d7dce4", cursor: "#6cb2ff", selectionBackground: "#33445c" },
});
const fit = new FitAddon();
terminal.loadAddon(fit);
terminal.open(part("console"));
let line = null;

const say = (data) => { if (line && line.readyState === WebSocket.OPEN) line.send(data); };
const size = () => say(JSON.stringify({ columns: terminal.cols, rows: terminal.rows }));
terminal.onData((text) => say(new TextEncoder().encode(text)));
terminal.onBinary((text) => say(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
terminal.onResize(size);

function told(words) {
  if (words.name) {
    part("name").textContent = words.name;
    document.title = `${words.name} · rastos`;
    document.body.dataset.screen = words.screen ? "there" : "none";
    part("picture").download = `${words.name}.png`;
  }
  if (words.note) part("note").textContent = words.note;
  if (words.ended) { ended = true; state("ended", "the machine has ended"); }
}

function listen() {
  line = new WebSocket(address("console"));
  line.binaryType = "arraybuffer";
  line.onopen = () => { terminal.reset(); state("running", ""); size(); };
  line.onmessage = ({ data }) => typeof data === "string" ? told(JSON.parse(data)) : terminal.write(new Uint8Array(data));
  line.onclose = () => {
    if (ended) return;
    state("waiting", "no connection: has rastos ended?");
    setTimeout(listen, AGAIN);
  };
}

// the screen: connected while it is shown

let screen = null;

function look() {
  const wanted = document.body.dataset.view !== "console" && !ended;
  if (!wanted && screen) screen.disconnect();
  if (!wanted || screen) return;
  screen = new RFB(part("screen"), address("screen"), { shared: true });
  screen.scaleViewport = true;
  screen.background = "#000";
  screen.addEventListener("disconnect", () => {
    screen = null;
    part("screen").replaceChildren();
    setTimeout(look, AGAIN);
  });
}

function show(view) {
  document.body.dataset.view = view;
  for (const button of document.querySelectorAll("nav button")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  }
  look();
  if (view === "screen") screen?.focus(); else { fit.fit(); terminal.focus(); }
}

for (const button of document.querySelectorAll("nav button")) button.onclick = () => show(button.dataset.view);
part("cad").onclick = () => screen?.sendCtrlAltDel();
new ResizeObserver(() => { if (document.body.dataset.view !== "screen") fit.fit(); }).observe(part("console"));
show("console");
listen();
