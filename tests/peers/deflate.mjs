// Echoes over compressed connections. The other end, or a line on stdin, chooses the parameters.
//
//     deflate.mjs server    the query of each connection's URL contains its parameters
//     deflate.mjs client    each line on stdin contains a URL, a space, and parameters in the form of a query
//
// The parameters are those of RFC 7692 section 7.1. The program prints the negotiated ones: "open none", or "open"
// and the parameters. When the connection is closed it prints "closed", the code, and the size of each message on the
// wire after a "c" if it was compressed and a "u" if it was not. Long messages are sent back in fragments. deflate.py
// uses the same protocol.

import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { WebSocket, WebSocketServer } from "ws";

const FRAGMENT = 40_000;
const NAMES = {
  server_no_context_takeover: "serverNoContextTakeover",
  client_no_context_takeover: "clientNoContextTakeover",
  server_max_window_bits: "serverMaxWindowBits",
  client_max_window_bits: "clientMaxWindowBits",
};

const say = (...words) => process.stdout.write(words.join(" ") + "\n");

function options(query, others) {
  const words = [...new URLSearchParams(query)];
  const wanted = words.map(([name, value]) => [NAMES[name], value === "true" || Number(value)]);
  return { ...others, threshold: 0, ...Object.fromEntries(wanted) };
}

function negotiated(deflate) {
  if (!deflate) return ["none"];
  const bits = end => deflate.params[`${end}_max_window_bits`] ?? 15;
  const alone = end => deflate.params[`${end}_no_context_takeover`] ? 1 : 0;
  return [alone("server"), alone("client"), bits("server"), bits("client")];
}

async function echo(ws) {
  const deflate = ws._extensions["permessage-deflate"];
  const sizes = [];
  let compressed = null;
  if (deflate) {
    const decompress = deflate.decompress;
    deflate.decompress = (data, ...others) => {
      compressed += data.length;
      decompress.call(deflate, data, ...others);
    };
  }
  ws.on("message", (data, binary) => {
    sizes.push(compressed === null ? `u${data.length}` : `c${compressed}`);
    compressed = null;
    for (let at = 0; at === 0 || at < data.length; at += FRAGMENT) {
      ws.send(data.subarray(at, at + FRAGMENT), { binary, fin: at + FRAGMENT >= data.length });
    }
  });
  const closed = new Promise(resolve => ws.on("close", resolve));
  ws.on("error", error => say("failed", error.message));
  say("open", ...negotiated(deflate));
  const code = await closed;
  say("closed", code, ...sizes);
}

async function server() {
  const listener = createServer();
  listener.on("upgrade", (request, socket, head) => {
    const { search } = new URL(request.url, "http://localhost");
    const perMessageDeflate = options(search, {});
    const upgrading = new WebSocketServer({ noServer: true, perMessageDeflate });
    upgrading.handleUpgrade(request, socket, head, echo);
  });
  listener.listen({ host: "127.0.0.1", port: 0 });
  await once(listener, "listening");
  say("listening", listener.address().port);
}

async function client() {
  for await (const line of createInterface({ input: process.stdin })) {
    const [url, query] = line.split(" ");
    const perMessageDeflate = options(query, { clientMaxWindowBits: false });
    const ws = new WebSocket(url, { perMessageDeflate });
    const failure = await once(ws, "open").then(() => null, error => error);
    if (failure) say("failed", failure.message);
    else await echo(ws);
  }
}

await (process.argv[2] === "client" ? client() : server());
