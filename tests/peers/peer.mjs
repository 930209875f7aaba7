// One end of a WebSocket that executes commands from stdin and prints events on stdout.
//
//     peer.mjs client URL [--subprotocol NAME]... [--header 'NAME: VALUE']... [--max-size BYTES]
//                         [--ca FILE] [--http2]
//     peer.mjs server     [the same but --ca]  [--refuse STATUS --body TEXT]  [--cert FILE --key FILE]
//
// Payloads and reasons are written in hexadecimal after an x. peer.py uses the same protocol.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import { createServer } from "node:https";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { WebSocket, WebSocketServer } from "ws";

const { positionals: [role, url], values: options } = parseArgs({
  allowPositionals: true,
  options: {
    subprotocol: { type: "string", multiple: true, default: [] },
    header: { type: "string", multiple: true, default: [] },
    "max-size": { type: "string", default: String(64 << 20) },
    refuse: { type: "string" },
    body: { type: "string" },
    ca: { type: "string" },
    http2: { type: "boolean" },
    cert: { type: "string" },
    key: { type: "string" },
  },
});

const common = { perMessageDeflate: false, maxPayload: Number(options["max-size"]) };

const say = (...words) => process.stdout.write(words.join(" ") + "\n");
const encode = data => "x" + Buffer.from(data).toString("hex");
const decode = word => Buffer.from(word.slice(1), "hex");

function sayHeaders(rawHeaders) {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    say("header", rawHeaders[at], encode(rawHeaders[at + 1]));
  }
}

// Collects events, so that events between two commands are not lost.
function recorded(ws) {
  const events = [];
  let wake = () => {};
  const record = (...event) => { events.push(event); wake(); };
  ws.on("message", (data, isBinary) => record(isBinary ? "binary" : "text", encode(data)));
  ws.on("pong", data => record("pong", encode(data)));
  ws.on("close", (code, reason) => record("closed", code, encode(reason)));
  ws.on("error", () => {}); // "close" follows
  return async (...kinds) => {
    for (;;) {
      const at = events.findIndex(([kind]) => kinds.includes(kind));
      if (at >= 0) return events.splice(at, 1)[0];
      await new Promise(resolve => { wake = resolve; });
    }
  };
}

async function obey(ws, next, rawHeaders) {
  sayHeaders(rawHeaders);
  say("open", ws.protocol || "-");
  for await (const line of createInterface({ input: process.stdin })) {
    const [verb, ...words] = line.split(" ");
    if (verb === "text" || verb === "binary") {
      ws.send(decode(words[0]), { binary: verb === "binary" });
    } else if (verb === "fragments") {
      const [kind, ...fragments] = words;
      fragments.forEach((fragment, at) => {
        ws.send(decode(fragment), { binary: kind === "binary", fin: at === fragments.length - 1 });
      });
    } else if (verb === "receive") {
      say(...await next("text", "binary", "closed"));
    } else if (verb === "ping") {
      ws.ping(decode(words[0]));
      say(...await next("pong"));
    } else if (verb === "close") {
      ws.close(Number(words[0]), decode(words[1]));
      say(...await next("closed"));
    } else if (verb === "vanish") {
      ws.terminate();
      await next("closed");
      say("vanished");
    } else {
      say("unknown", verb);
    }
  }
  process.exit();
}

async function client() {
  const headers = Object.fromEntries(options.header.map(header => header.split(": ")));
  const ws = new WebSocket(url, options.subprotocol, {
    ...common,
    headers,
    ca: options.ca && readFileSync(options.ca),
  });
  const next = recorded(ws);
  let rawHeaders = [];
  ws.on("upgrade", response => { rawHeaders = response.rawHeaders; });
  ws.on("unexpected-response", async (_request, response) => {
    const body = [];
    for await (const piece of response) body.push(piece);
    sayHeaders(response.rawHeaders);
    say("refused", response.statusCode, encode(Buffer.concat(body)));
    process.exit();
  });
  await once(ws, "open");
  await obey(ws, next, rawHeaders);
}

// Opens the WebSocket with an extended CONNECT (RFC 8441). The package ws then reads and writes the frames.
async function clientOverHttp2() {
  const { origin, host, pathname, search } = new URL(url.replace("ws:", "http:"));
  const session = connect(origin);
  const [settings] = await once(session, "remoteSettings");
  if (!settings.enableConnectProtocol) throw new Error("no extended CONNECT");
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "http",
    ":authority": host,
    ":path": pathname + search,
    "sec-websocket-version": "13",
    ...Object.fromEntries(options.header.map(header => header.split(": "))),
    ...(options.subprotocol.length ? { "sec-websocket-protocol": options.subprotocol.join(", ") } : {}),
  });
  const [response] = await once(stream, "response");
  const rawHeaders = Object.entries(response).filter(([name]) => !name.startsWith(":")).flat().map(String);
  if (response[":status"] !== 200) {
    const body = [];
    for await (const piece of stream) body.push(piece);
    sayHeaders(rawHeaders);
    say("refused", response[":status"], encode(Buffer.concat(body)));
    process.exit();
  }
  const ws = new WebSocket(null, undefined, { closeTimeout: 30_000 });
  ws._isServer = false; // so that it masks
  ws._protocol = response["sec-websocket-protocol"] ?? "";
  const next = recorded(ws);
  ws.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: true, maxPayload: common.maxPayload });
  await obey(ws, next, rawHeaders);
}

async function server() {
  const verifyClient = (_info, answer) =>
    options.refuse ? answer(false, Number(options.refuse), options.body) : answer(true);
  const handleProtocols = offered => options.subprotocol.find(name => offered.has(name)) ?? false;
  const where = { host: "127.0.0.1", port: 0 };
  const https = options.cert && createServer({ cert: readFileSync(options.cert), key: readFileSync(options.key) });
  const listener = new WebSocketServer({
    ...common, verifyClient, handleProtocols, ...(https ? { server: https } : where),
  });
  listener.on("headers", lines => lines.push(...options.header));
  listener.on("connection", (ws, request) => obey(ws, recorded(ws), request.rawHeaders));
  https?.listen(where);
  await once(listener, "listening");
  say("listening", listener.address().port);
}

await (role === "server" ? server() : options.http2 ? clientOverHttp2() : client());
