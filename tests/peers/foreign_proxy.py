"""A proxy of another implementation. Prints `listening PORT` on stdout when it is ready, and ends with stdin.

    foreign_proxy.py http          [--user NAME:PASSWORD] [--cert FILE --key FILE]     by proxy.py
    foreign_proxy.py pproxy-http   [--user NAME:PASSWORD]                              by pproxy
    foreign_proxy.py pproxy-socks5 [--user NAME:PASSWORD]                              by pproxy
"""

import argparse
import asyncio
import sys


def serve_http(args):
    import proxy

    flags = ["--hostname", "127.0.0.1", "--port", "0", "--num-workers", "1", "--num-acceptors", "1", "--log-level", "e"]
    if args.user:
        flags += ["--basic-auth", args.user]
    if args.cert:
        flags += ["--cert-file", args.cert, "--key-file", args.key]
    with proxy.Proxy(flags) as running:
        print("listening", running.flags.port, flush=True)
        sys.stdin.read()


async def serve_pproxy(protocol, args):
    import pproxy

    credentials = f"#{args.user}" if args.user else ""
    server = pproxy.Server(f"{protocol}://127.0.0.1:0{credentials}")
    handler = await server.start_server({"rserver": [], "verbose": lambda text: None})
    print("listening", handler.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--user")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    args = parser.parse_args()
    if args.kind == "http":
        serve_http(args)
    else:
        asyncio.run(serve_pproxy(args.kind.removeprefix("pproxy-"), args))


main()
