"""The permessage-deflate extension of `websockets`, one frame at a time. See deflate_peers.sh."""

import statistics
import sys
import time

import websockets
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

BATCHES, BATCH = 50, 100


def measure(work):
    for _ in range(BATCH):
        work()
    times = []
    for _ in range(BATCHES):
        start = time.process_time_ns()
        for _ in range(BATCH):
            work()
        times.append((time.process_time_ns() - start) / BATCH / 1000)
    return statistics.median(times)


def main():
    with open(sys.argv[1], "rb") as file:
        text = file.read()
    print(f"websockets {websockets.__version__}, Python {sys.version.split()[0]}")
    for name, alone in (("no-context", True), ("context-kept", False)):
        settings = {"level": 6}
        server = PerMessageDeflate(alone, alone, 15, 15, settings)
        client = PerMessageDeflate(alone, alone, 15, 15, settings)
        frames = [server.encode(Frame(Opcode.TEXT, text)) for _ in range(3)]
        sizes = [len(frame.data) + (2 if len(frame.data) < 126 else 4) for frame in frames]
        print(f"{name}: {len(text)} bytes become frames of {sizes} bytes")
        # The text repeats, so the third frame equals all later ones.
        for frame in frames[:2]:
            assert client.decode(frame).data == text
        print(f"{name}/compress  {measure(lambda: server.encode(Frame(Opcode.TEXT, text))):8.1f} µs")
        print(f"{name}/inflate   {measure(lambda: client.decode(frames[2]).data.decode()):8.1f} µs")


main()
