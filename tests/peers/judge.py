"""Prints an implementation's verdict on conversations, one for each line on stdin.

    judge.py wsproto LIMIT
    judge.py websockets LIMIT

A line consists of a role, "server" or "client", and the frames that this end receives, in hexadecimal after an x.
The answer is the end ("open -", "closed" and the code of the Close or a dash, or "failed" and the code of the
error), followed by the delivered events: "text", "binary" or "ping", each with its bytes after an x. LIMIT is the
maximum message size. wsproto has no such limit.
"""

import logging
import sys

from websockets.frames import OP_CLOSE, OP_PING, OP_PONG, CloseCode
from websockets.protocol import OPEN, Protocol, Side
from websockets.sync.messages import Assembler
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage


def encode(data):
    return "x" + (data.encode() if isinstance(data, str) else bytes(data)).hex()


def judge_wsproto(is_server, pieces, limit):
    connection = Connection(ConnectionType.SERVER if is_server else ConnectionType.CLIENT)
    said, message = [], []
    for piece in pieces:
        connection.receive_data(piece)
        for event in connection.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                message.append(event.data)
                if event.message_finished:
                    kind = "text" if isinstance(event, TextMessage) else "binary"
                    said += [kind, encode(message[0][:0].join(message))]
                    message.clear()
            elif isinstance(event, Ping):
                said += ["ping", encode(event.payload)]
            elif isinstance(event, CloseConnection):
                # Errors that wsproto detects look like a Close of the peer, except for the state.
                if connection.state is ConnectionState.REMOTE_CLOSING:
                    return ["closed", "-" if event.code == 1005 else int(event.code), *said]
                return ["failed", int(event.code), *said]
    return ["open", "-", *said]


def judge_websockets(is_server, pieces, limit):
    protocol = Protocol(Side.SERVER if is_server else Side.CLIENT, state=OPEN, max_size=limit)
    protocol.logger.setLevel(logging.CRITICAL)
    assembler = Assembler()
    said = []
    for piece in pieces:
        protocol.receive_data(piece)
        for frame in protocol.events_received():
            if frame.opcode is OP_PING:
                said += ["ping", encode(frame.data)]
            elif frame.opcode not in (OP_PONG, OP_CLOSE):
                assembler.put(frame)
                if frame.fin:
                    # The connections of the library do the same.
                    try:
                        message = assembler.get(timeout=0)
                    except UnicodeDecodeError:
                        protocol.fail(CloseCode.INVALID_DATA)
                        return ["failed", int(protocol.close_sent.code), *said]
                    said += ["text" if isinstance(message, str) else "binary", encode(message)]
        if protocol.parser_exc is not None:
            return ["failed", int(protocol.close_sent.code), *said]
        if protocol.close_rcvd is not None:
            code = int(protocol.close_rcvd.code)
            return ["closed", "-" if code == 1005 else code, *said]
    return ["open", "-", *said]


def main():
    judge = {"wsproto": judge_wsproto, "websockets": judge_websockets}[sys.argv[1]]
    limit = int(sys.argv[2])
    for line in sys.stdin:
        role, *words = line.split()
        print(*judge(role == "server", [bytes.fromhex(word[1:]) for word in words], limit), flush=True)


main()
