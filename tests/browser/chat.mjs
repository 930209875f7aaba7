// Tests the chat page in a real browser: joining, escaping of markup, visible refusals, a restart of the server, a lost
// connection without lost messages, and a server whose limits are reached.
//
// node tests/browser/chat.mjs CHAT_SERVER [SCREENSHOT]

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { WebSocket } from "ws";

const [program, screenshot] = process.argv.slice(2);
const PATIENCE = 20_000;

/** Starts the server and waits until it accepts connections. */
async function serve(address, ...options) {
  const child = spawn(program, ["--listen", address, ...options], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface(child.stdout), "line");
  return { child, url: new URL(line) };
}

/** Stops the server as Ctrl-C does. */
async function interrupt({ child }) {
  const ended = once(child, "exit");
  child.kill("SIGINT");
  assert.deepEqual(await ended, [0, null]);
}

/** A proxy between a browser and the server that can cut their connections. */
class Cable {
  sockets = new Set();
  plugged = true;

  async open(port) {
    this.server = net.createServer(socket => {
      if (!this.plugged) return socket.destroy();
      const onward = net.connect(port, "127.0.0.1");
      for (const end of [socket, onward]) {
        this.sockets.add(end);
        end.on("error", () => {});
        end.on("close", () => { this.sockets.delete(end); socket.destroy(); onward.destroy(); });
      }
      socket.pipe(onward).pipe(socket);
    });
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return `http://127.0.0.1:${this.server.address().port}/`;
  }

  cut() {
    this.plugged = false;
    for (const socket of this.sockets) socket.destroy();
  }

  mend() {
    this.plugged = true;
  }
}

/** Opens a tab with a browser profile of its own. */
async function visit(browser, url, prepare = () => {}) {
  const context = await browser.newContext({ viewport: { width: 900, height: 560 } });
  await context.addInitScript(prepare);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.problems = [];
  page.on("pageerror", error => page.problems.push(String(error)));
  page.on("dialog", dialog => { page.problems.push("a dialog"); dialog.dismiss(); });
  await page.goto(url);
  await page.waitForSelector("#status:text-is('connected')");
  return page;
}

async function enter(page, name) {
  await page.fill("#nick", name);
  await page.click("#enter button");
}

async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Makes `localStorage` throw, as in a browser that forbids pages to store data. */
function forbidStorage() {
  Object.defineProperty(window, "localStorage", { get() { throw new DOMException("denied", "SecurityError"); } });
}

/** Counts the changes of the alert. Screen readers read each of them aloud. */
function countAlerts() {
  window.alerts = 0;
  const observer = new MutationObserver(() => { window.alerts += document.getElementById("banner").textContent !== ""; });
  addEventListener("load", () => observer.observe(document.getElementById("banner"), { childList: true }));
}

/** Joins a room without a browser. */
async function joinRoom(url, nick) {
  const socket = new WebSocket(url.replace("http", "ws"));
  socket.on("message", () => {});
  await once(socket, "open");
  socket.send(JSON.stringify({ type: "join", nick }));
  const [welcome] = await once(socket, "message");
  assert.equal(JSON.parse(welcome).type, "welcome");
  return socket;
}

/** Waits until a client without a browser hears that a member has left. */
const hearsLeave = (socket, nick) => new Promise(resolve => socket.on("message", data => {
  const { what, nick: who } = JSON.parse(data);
  if (what === "left" && who === nick) resolve();
}));

/** Returns the lines on a page without their times. */
const lines = page => page.locator("#log li span").allTextContents();

/** Waits until the page shows a line. */
const sees = (page, text) =>
  page.waitForFunction(text => [...document.querySelectorAll("#log li span")].some(line => line.textContent === text), text);

const people = page => page.locator("#people li").allTextContents();
const banner = (page, text) => page.waitForSelector(`#banner:visible:has-text("${text}")`);

async function run(browser) {
  let server = await serve("127.0.0.1:0");
  const address = server.url.host;
  const cable = new Cable();
  try {
    const ann = await visit(browser, `${await cable.open(server.url.port)}garden`);
    const bob = await visit(browser, `${server.url}garden`, countAlerts);

    await enter(ann, "Ann");
    await sees(ann, "Ann joined");
    await enter(bob, "ann");
    await bob.waitForSelector("#enter-error:has-text('Somebody else has this name.')");
    await enter(bob, "Bob");
    await sees(ann, "Bob joined");
    assert.deepEqual(await people(ann), ["Ann", "Bob"]);
    await bob.waitForFunction(() => document.querySelectorAll("#people li").length === 2);
    assert.equal(await ann.title(), "#garden");

    // Messages are shown as text, even if they look like markup.
    const markup = `<b>bold</b><img src=x onerror="alert(1)"><script>alert(2)</script> & Grüße`;
    await say(ann, "Good morning, everyone.");
    await say(ann, markup);
    await sees(bob, `Ann ${markup}`);
    assert.equal(await bob.locator("#log img, #log script").count(), 0);
    assert.equal(await bob.locator("#log b").count(), 2, "the name before each line and no other");

    // A refusal is shown, and the refused text is not lost.
    await say(bob, "x".repeat(1001));
    await banner(bob, "at most 1000 characters");
    assert.equal((await bob.inputValue("#text")).length, 1001);
    await bob.waitForFunction(() => / ms$/.test(document.getElementById("latency").textContent));
    await bob.waitForFunction(() => document.getElementById("banner").hidden);

    // A later visitor sees the earlier messages.
    const carol = await visit(browser, `${server.url}garden`, forbidStorage);
    await enter(carol, "Carol");
    await sees(carol, `Ann ${markup}`);
    await say(carol, "Hello from the third tab.");
    await sees(bob, "Carol Hello from the third tab.");
    if (screenshot) {
      await say(bob, "Good morning! The markup above is only text.");
      await sees(ann, "Bob Good morning! The markup above is only text.");
      await ann.waitForFunction(() => / ms$/.test(document.getElementById("latency").textContent));
      await ann.screenshot({ path: screenshot });
    }

    // The page reports that the server stops, and reconnects when it is back.
    const before = await bob.evaluate(() => window.alerts);
    const told = [ann, bob, carol].map(page => banner(page, "The server is going down."));
    await interrupt(server);
    await Promise.all(told);
    for (const page of [ann, bob, carol]) {
      await banner(page, "The server cannot be reached.");
      assert.deepEqual([await people(page), await page.textContent("#count")], [[], "–"]);
    }
    // The countdown to the next attempt changes, and the alert does not.
    const [seconds] = await Promise.all([bob.textContent("#countdown"), banner(bob, "The server cannot be reached.")]);
    await bob.waitForFunction(text => document.getElementById("countdown").textContent !== text, seconds);
    assert.equal(await bob.evaluate(() => window.alerts) - before, 2, "one alert for the end and one for the attempts");
    server = await serve(address);
    for (const page of [ann, bob, carol]) {
      await page.waitForSelector("#say button:enabled");
      await page.waitForFunction(() => document.querySelectorAll("#people li").length === 3);
    }
    assert.deepEqual((await people(ann)).sort(), ["Ann", "Bob", "Carol"]);
    // After the restart, the server cannot exclude that messages were missed.
    await sees(ann, "… some messages were missed …");
    await say(bob, "Here we are again.");
    await sees(ann, "Bob Here we are again.");

    // After a lost connection, the messages of the meantime appear once and in order.
    cable.cut();
    await banner(ann, "The connection was lost (1006).");
    for (const number of [1, 2, 3]) await say(bob, `While you were out: ${number}`);
    await sees(bob, "Bob While you were out: 3");
    cable.mend();
    await sees(ann, "Bob While you were out: 3");
    const missed = (await lines(ann)).filter(line => line.includes("While you were out"));
    assert.deepEqual(missed, [1, 2, 3].map(number => `Bob While you were out: ${number}`));
    await ann.waitForSelector("#say button:enabled");
    await say(ann, "Back.");
    await sees(bob, "Ann Back.");
    assert.equal((await lines(ann)).filter(line => line === "Bob Here we are again.").length, 1);

    await carol.close();
    await sees(bob, "Carol left");
    for (const page of [ann, bob]) assert.deepEqual(page.problems, []);
  } finally {
    cable.cut();
    cable.server?.close();
    server.child.kill();
  }
}

/** The page counts the people that are not listed, and shows that the server has no place left. */
async function runAtLimits(browser) {
  const server = await serve("127.0.0.1:0", "--outside-lobby", "121");
  const cable = new Cable();
  const others = [];
  try {
    const garden = `${server.url}garden`;
    for (let number = 0; number < 120; number++) others.push(await joinRoom(garden, `Guest ${number}`));
    const ann = await visit(browser, `${await cable.open(server.url.port)}garden`);
    await enter(ann, "Ann");
    await ann.waitForSelector("#people .more:text-is('… and 21 more')");
    assert.equal(await ann.textContent("#count"), "121");
    assert.equal(await ann.textContent("#people .me"), "Ann");
    others.pop().close();
    await sees(ann, "Guest 119 left");
    assert.equal(await ann.textContent("#count"), "120");

    // Others take the last places while the connection of the page is lost.
    const left = hearsLeave(others[0], "Ann");
    cable.cut();
    await Promise.all([left, banner(ann, "The connection was lost (1006).")]);
    others.push(await joinRoom(garden, "Guest 120"), await joinRoom(garden, "Guest 121"));
    cable.mend();
    await banner(ann, "All places outside the lobby are taken.");
    others.push(await joinRoom(`${server.url}lobby`, "Guest 122"));
    others.splice(0, 60).forEach(socket => socket.close());
    await ann.waitForSelector("#say button:enabled");
    assert.deepEqual(ann.problems, []);
  } finally {
    cable.cut();
    cable.server?.close();
    others.forEach(socket => socket.terminate());
    server.child.kill();
  }
}

const profile = await mkdtemp(join(tmpdir(), "chat-browser-"));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
  env: { ...process.env, HOME: profile },
});
try {
  await run(browser);
  await runAtLimits(browser);
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}
console.log("all seen");
