"use strict";

// An echo server by the npm package `ws`, with the limits of the other servers: node -e SCRIPT -- [CHAIN KEY]
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { WebSocketServer } = require("ws");

const page = Buffer.alloc(8 << 20, "x");
const answer = (request, response) => {
  if (request.url === "/page") return response.end(page);
  response.writeHead(404).end();
};
const [chain, key] = process.argv.slice(1).filter(argument => argument !== "--");
const server = chain
  ? https.createServer({ cert: fs.readFileSync(chain), key: fs.readFileSync(key) }, answer)
  : http.createServer(answer);
const sockets = new WebSocketServer({ server, perMessageDeflate: true, maxPayload: 1 << 20 });
sockets.on("connection", socket => {
  socket.on("error", () => {});
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(0, "127.0.0.1", 4096, () => console.log(`listening on ws://127.0.0.1:${server.address().port}/`));
process.stdin.on("end", () => process.exit()).resume();
