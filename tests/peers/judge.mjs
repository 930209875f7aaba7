// Judges conversations by the receiver of the npm package `ws`, one conversation for each line on stdin.
//
//     judge.mjs LIMIT
//
// The lines and the answers are those of judge.py.

import { createInterface } from "node:readline";
import { Receiver } from "ws";

const limit = Number(process.argv[2]);

const encode = data => "x" + Buffer.from(data).toString("hex");
const decode = word => Buffer.from(word.slice(1), "hex");

// The status code that `ws` closes a connection with after this error. It is stored behind a symbol that is not
// exported.
function statusCode(error) {
  const symbol = Object.getOwnPropertySymbols(error).find(symbol => symbol.description === "status-code");
  if (symbol === undefined) throw error;
  return error[symbol];
}

async function judge(isServer, pieces) {
  const receiver = new Receiver({ isServer, maxPayload: limit });
  const said = [];
  let end;
  receiver.on("message", (data, isBinary) => said.push(isBinary ? "binary" : "text", encode(data)));
  receiver.on("ping", data => said.push("ping", encode(data)));
  // 1005 stands for a Close without a code.
  receiver.on("conclude", code => { end ??= ["closed", code === 1005 ? "-" : code]; });
  receiver.on("error", error => { end ??= ["failed", statusCode(error)]; });
  for (const piece of pieces) {
    // The error of a write comes before its callback as well as in an event.
    await new Promise(done => receiver.write(piece, error => {
      if (error) end ??= ["failed", statusCode(error)];
      done();
    }));
    if (end) break;
  }
  return [...(end ?? ["open", "-"]), ...said];
}

for await (const line of createInterface({ input: process.stdin })) {
  const [role, ...words] = line.split(" ");
  const verdict = await judge(role === "server", words.map(decode));
  process.stdout.write(verdict.join(" ") + "\n");
}
