"use strict";

// Messages of other people are inserted as text, never as markup.

const byId = id => document.getElementById(id);
const room = decodeURIComponent(location.pathname.slice(1)) || "lobby";
const LINES = 500;
const PING_EVERY = 5000;
const LONGEST_WAIT = 15000;

let socket;
let nick = null;      // our nickname, joined or requested
let opened = false;   // true once the current connection has opened
let joined = false;   // true once the server has accepted us on this connection
let last = null;      // the id of the last event that we have shown
let attempts = 0;
let countdown;
let lastSent = "";    // the last message that we have sent
// This secret reclaims our name after a lost connection.
const key = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2);
const people = new Map();
let total = 0;        // the number of all people: the server lists at most 100 of them

byId("room").textContent = room;
document.title = `#${room}`;
byId("nick").value = remembered("nick") ?? "";

// A browser may forbid a page to store data. Then reading and writing throw.
function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // The visitor has to type the name again next time.
  }
}

function connect() {
  stopCountdown();
  opened = false;
  byId("status").textContent = "connecting …";
  const url = new URL(location.pathname, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.onopen = () => {
    opened = true;
    byId("status").textContent = "connected";
    if (nick) join();
  };
  socket.onmessage = event => receive(JSON.parse(event.data));
  socket.onclose = closed;
}

function closed(event) {
  joined = false;
  byId("latency").textContent = "";
  setPeople([], 0);
  byId("say").querySelector("button").disabled = true;
  if (event.code === 4000) {
    byId("status").textContent = "left";
    return banner("You have joined this room from another tab. This tab has left.");
  }
  const why =
    !opened ? "The server cannot be reached."
    : event.code === 1001 ? "The server is going down."
    : event.code === 1008 ? `The server has closed the connection${event.reason ? `: ${event.reason}` : ""}.`
    : event.code === 1013 ? `The server cannot serve you now${event.reason ? `: ${event.reason}` : ""}.`
    : `The connection was lost (${event.code}).`;
  byId("status").textContent = "not connected";
  // The delay doubles and has a random part, so that clients do not reconnect all at once.
  const wait = Math.min(1000 * 2 ** attempts++, LONGEST_WAIT) * (0.5 + Math.random() / 2);
  const until = Date.now() + wait;
  // The reason is an alert, which screen readers read aloud. The countdown is not.
  banner(why);
  if (!opened) showRefusal(socket);
  const tick = () => {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    if (seconds <= 0) return connect();
    byId("countdown").textContent = `Reconnecting in ${seconds} s …`;
    byId("countdown").hidden = false;
  };
  tick();
  clearInterval(countdown);
  countdown = setInterval(tick, 250);
}

// A browser hides the response that refused a WebSocket. The server refuses the page for the same reason.
async function showRefusal(refused) {
  const response = await fetch(location.pathname, { cache: "no-store" }).catch(() => null);
  const why = response?.status === 503 ? (await response.text()).trim() : "";
  if (why && socket === refused) banner(why);
}

function stopCountdown() {
  clearInterval(countdown);
  byId("countdown").hidden = true;
}

function send(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function join() {
  send({ type: "join", nick, key, after: last });
}

function receive(message) {
  switch (message.type) {
    case "welcome":
      attempts = 0;
      joined = true;
      nick = message.nick;
      remember("nick", nick);
      banner("");
      byId("enter").hidden = true;
      byId("chat").hidden = false;
      byId("say").querySelector("button").disabled = false;
      if (message.missed) event(Date.now(), "… some messages were missed …");
      setPeople(message.people, message.count);
      byId("text").focus();
      ping();
      break;
    case "event":
      if (last && !isAfter(message.id, last)) break;
      last = message.id;
      happened(message, Number(message.id.split("-")[0]));
      break;
    case "people":
      setPeople(message.people, message.count);
      break;
    case "pong":
      byId("latency").textContent = `${Math.max(0.1, performance.now() - message.sent).toFixed(1)} ms`;
      break;
    case "refused":
      refused(message);
      break;
  }
}

function refused({ reason, text }) {
  if (joined) {
    // Put the refused message back into the input field.
    if (["too_long", "too_fast", "unavailable"].includes(reason)) byId("text").value ||= lastSent;
    return banner(text, 4000);
  }
  if (reason === "nick_taken" || reason === "bad_nick") {
    // The name is taken or invalid: ask for another one.
    nick = null;
    byId("enter").hidden = false;
    byId("chat").hidden = true;
    byId("nick").focus();
  }
  byId("enter-error").textContent = text;
}

function happened({ what, nick: who, text, count }, at) {
  if (what === "said") return line(at, who, text);
  if (what === "joined") people.set(fold(who), who);
  else people.delete(fold(who));
  total = count;
  showPeople();
  event(at, `${who} ${what}`);
}

function line(at, who, text) {
  const item = entry(at);
  const content = document.createElement("span");
  const name = document.createElement("b");
  name.textContent = who;
  content.append(name, document.createTextNode(` ${text}`));
  item.append(content);
  show(item);
}

function event(at, text) {
  const item = entry(at);
  const content = document.createElement("span");
  content.className = "event";
  content.textContent = text;
  item.append(content);
  show(item);
}

function entry(at) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const date = new Date(at);
  time.dateTime = date.toISOString();
  time.textContent = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  time.title = date.toLocaleString();
  item.append(time);
  return item;
}

function show(item) {
  const log = byId("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(item);
  if (log.childElementCount > LINES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// All spellings of a name are equal, as on the server.
const fold = name => name.normalize("NFKC").toLowerCase().normalize("NFKC");

function setPeople(names, count) {
  people.clear();
  for (const name of names) people.set(fold(name), name);
  total = count;
  showPeople();
}

function showPeople() {
  const sorted = [...people.values()].sort((a, b) => a.localeCompare(b));
  byId("count").textContent = joined ? total : "–";
  byId("people").replaceChildren(...sorted.map(name => {
    const item = document.createElement("li");
    item.textContent = name;
    if (name === nick) item.className = "me";
    return item;
  }));
  if (total > sorted.length) {
    const more = document.createElement("li");
    more.className = "more";
    more.textContent = `… and ${total - sorted.length} more`;
    byId("people").append(more);
  }
}

let hide;
function banner(text, duration) {
  clearTimeout(hide);
  // Screen readers read an alert aloud each time that it is written.
  if (byId("banner").textContent !== text) byId("banner").textContent = text;
  byId("banner").hidden = !text;
  if (duration) hide = setTimeout(() => banner(""), duration);
}

function isAfter(id, other) {
  const [[millis, sequence], [otherMillis, otherSequence]] = [id, other].map(text => text.split("-").map(Number));
  return millis > otherMillis || (millis === otherMillis && sequence > otherSequence);
}

function ping() {
  if (joined) send({ type: "ping", sent: performance.now() });
}

byId("enter").onsubmit = submitted => {
  submitted.preventDefault();
  nick = byId("nick").value.trim();
  byId("enter-error").textContent = "";
  if (nick) join();
};

byId("say").onsubmit = submitted => {
  submitted.preventDefault();
  const text = byId("text").value;
  if (!joined || !text.trim()) return;
  lastSent = text;
  send({ type: "say", text });
  byId("text").value = "";
};

setInterval(ping, PING_EVERY);
connect();
