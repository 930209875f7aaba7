"""One end of a WebSocket that executes commands from stdin and prints events on stdout.

    peer.py client URL [--subprotocol NAME]... [--header 'NAME: VALUE']... [--max-size BYTES]
                       [--ca FILE]
    peer.py server     [the same but --ca]  [--refuse STATUS --body TEXT]  [--cert FILE --key FILE]

Payloads and reasons are written in hexadecimal after an x. peer.mjs uses the same protocol.
"""

import argparse
import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus

LONGEST_LINE = 16 << 20


def say(*words):
    print(*words, flush=True)


def encode(data):
    return "x" + (data.encode() if isinstance(data, str) else data).hex()


def decode(kind, word):
    data = bytes.fromhex(word[1:])
    return data.decode() if kind == "text" else data


def kind_of(message):
    return "text" if isinstance(message, str) else "binary"


def say_closed(ws):
    say("closed", ws.close_code, encode(ws.close_reason or ""))


async def receive(ws):
    try:
        message = await ws.recv()
    except ConnectionClosed:
        say_closed(ws)
    else:
        say(kind_of(message), encode(message))


async def receive_fragments(ws):
    fragments = [fragment async for fragment in ws.recv_streaming()]
    say("fragments", kind_of(fragments[0]), *map(encode, fragments))


async def obey(ws, headers):
    for name, value in headers.raw_items():
        say("header", name, encode(value))
    say("open", ws.subprotocol or "-")
    commands = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while line := await commands.readline():
        verb, *words = line.decode().split()
        if verb in ("text", "binary"):
            await ws.send(decode(verb, words[0]))
        elif verb == "fragments":
            await ws.send([decode(words[0], word) for word in words[1:]])
        elif verb == "receive":
            await receive(ws)
        elif verb == "receive-fragments":
            await receive_fragments(ws)
        elif verb == "ping":
            payload = decode("binary", words[0])
            await (await ws.ping(payload))
            say("pong", encode(payload))
        elif verb == "close":
            await ws.close(int(words[0]), decode("text", words[1]))
            say_closed(ws)
        elif verb == "vanish":
            ws.transport.abort()
            await ws.wait_closed()
            say("vanished")


async def client(options, common):
    if options.ca:
        common["ssl"] = ssl.create_default_context(cafile=options.ca)
    try:
        ws = await connect(options.url, additional_headers=options.header, proxy=None, **common)
    except InvalidStatus as refusal:
        response = refusal.response
        for name, value in response.headers.raw_items():
            say("header", name, encode(value))
        say("refused", response.status_code, encode(bytes(response.body)))
        return
    await obey(ws, ws.response.headers)


async def server(options, common):
    ended = asyncio.Event()

    async def handle(ws):
        await obey(ws, ws.request.headers)
        ended.set()

    def process_request(ws, request):
        if options.refuse:
            return ws.respond(options.refuse, options.body)

    def process_response(ws, request, response):
        response.headers.update(options.header)

    if options.cert:
        common["ssl"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        common["ssl"].load_cert_chain(options.cert, options.key)

    async with serve(
        handle,
        "127.0.0.1",
        0,
        process_request=process_request,
        process_response=process_response,
        **common,
    ) as listener:
        say("listening", listener.sockets[0].getsockname()[1])
        await ended.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["client", "server"])
    parser.add_argument("url", nargs="?")
    parser.add_argument("--subprotocol", action="append")
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--max-size", type=int, default=64 << 20)
    parser.add_argument("--refuse", type=int)
    parser.add_argument("--body", default="")
    for name in ("--ca", "--cert", "--key"):
        parser.add_argument(name)
    options = parser.parse_args()
    options.header = Headers([header.split(": ", 1) for header in options.header])
    common = {
        "subprotocols": options.subprotocol,
        "compression": None,
        "ping_interval": None,
        "max_size": options.max_size,
    }
    asyncio.run((client if options.role == "client" else server)(options, common))


main()
