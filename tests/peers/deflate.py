"""Echoes over compressed connections. The other end, or a line on stdin, chooses the parameters.

    deflate.py server    the query of each connection's URL contains its parameters
    deflate.py client    each line on stdin contains a URL, a space, and parameters in the form of a query

The parameters are those of RFC 7692 section 7.1. The program prints the negotiated ones: "open none", or "open" and
the parameters. When the connection is closed it prints "closed", the code, and the size of each message on the wire
after a "c" if it was compressed and a "u" if it was not. Long messages are sent back in fragments. deflate.mjs uses
the same protocol.
"""

import asyncio
import sys
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import OP_BINARY, OP_CONT, OP_TEXT

COMMON = {"compression": None, "ping_interval": None, "max_size": 64 << 20}
FRAGMENT = 40_000


def say(*words):
    print(*words, flush=True)


def parameters(query):
    words = dict(parse_qsl(query))
    return {name: value == "true" or int(value) for name, value in words.items()}


def negotiated(ws, is_server):
    if not ws.protocol.extensions:
        return ["none"]
    [deflate] = ws.protocol.extensions
    local = deflate.local_no_context_takeover, deflate.local_max_window_bits
    remote = deflate.remote_no_context_takeover, deflate.remote_max_window_bits
    server, client = (local, remote) if is_server else (remote, local)
    return [int(server[0]), int(client[0]), server[1], client[1]]


def watched(ws, sizes):
    """Records the size of each message before it is inflated."""

    def watch(decode):
        def decode_watched(frame, **options):
            if frame.opcode in (OP_TEXT, OP_BINARY):
                sizes.append(["c" if frame.rsv1 else "u", 0])
            if frame.opcode in (OP_TEXT, OP_BINARY, OP_CONT):
                sizes[-1][1] += len(frame.data)
            return decode(frame, **options)

        return decode_watched

    for extension in ws.protocol.extensions:
        extension.decode = watch(extension.decode)


async def echo(ws, is_server):
    sizes = []
    watched(ws, sizes)
    say("open", *negotiated(ws, is_server))
    try:
        while True:
            message = await ws.recv()
            if not ws.protocol.extensions:
                sizes.append(["u", len(message)])
            if len(message) > FRAGMENT:
                await ws.send([message[at : at + FRAGMENT] for at in range(0, len(message), FRAGMENT)])
            else:
                await ws.send(message)
    except ConnectionClosed:
        say("closed", ws.close_code, *(f"{kind}{size}" for kind, size in sizes))


async def server():
    def process_request(ws, request):
        wanted = parameters(urlsplit(request.path).query)
        ws.protocol.available_extensions = [ServerPerMessageDeflateFactory(**wanted)]

    def handle(ws):
        return echo(ws, True)

    async with serve(handle, "127.0.0.1", 0, process_request=process_request, **COMMON) as listener:
        say("listening", listener.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def client():
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        url, query = line.decode().rstrip("\n").split(" ")
        extensions = [ClientPerMessageDeflateFactory(**{"client_max_window_bits": None} | parameters(query))]
        try:
            ws = await connect(url, extensions=extensions, proxy=None, **COMMON)
        except InvalidHandshake as error:
            say("failed", error)
        else:
            await echo(ws, False)


asyncio.run({"server": server, "client": client}[sys.argv[1]]())
