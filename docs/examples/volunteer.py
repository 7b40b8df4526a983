#!/usr/bin/python3
"""A volunteer that takes a lease, looks at it, and gives it back.

It is written from docs/spec/wire.md alone, in Python's standard library and
Debian's python3-websockets, to show what the protocol asks of a volunteer. It
runs nothing, so it verifies nothing but digests: what must be verified before
anything runs is docs/spec/statement.md.

    volunteer.py http://127.0.0.1:8080
"""

import argparse
import asyncio
import base64
import hashlib
import json
import re
import secrets
import sys
import urllib.request

import websockets

SUBPROTOCOL = "countersign.v1"
MAX_TO_WORKER = 1 << 20  # bytes of a message
MAX_STATEMENT = 16 << 10  # bytes of a release or an order


# Ed25519, RFC 8032, section 5.1: points in extended coordinates. It is plain
# and takes no care to hide the key from whoever measures its time.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
GX = 15112221349535400772501151409588531511454012693041857206046113283949847762202
GY = 46316835694926478169428394003475163141307993866256225615783033603165251855960
BASE = (GX, GY, 1, GX * GY % P)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(n, p):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, p)
        p, n = add(p, p), n >> 1
    return total


def compress(p):
    inverse = pow(p[2], -1, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def sha512_number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


class Key:
    """A worker's key, new for this visit."""

    def __init__(self, seed=None):
        digest = hashlib.sha512(seed or secrets.token_bytes(32)).digest()
        self.scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
        self.prefix = digest[32:]
        self.public = compress(multiply(self.scalar, BASE))

    def sign(self, message):
        r = sha512_number(self.prefix, message) % ORDER
        point = compress(multiply(r, BASE))
        s = (r + sha512_number(point, self.public, message) * self.scalar) % ORDER
        return point + s.to_bytes(32, "little")


class Trouble(Exception):
    """Something that the hub says is not the protocol."""


def want(condition, what):
    if not condition:
        raise Trouble(what)


def is_hex(value, digits):
    return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", value)


def fetch(address, digest, limit):
    """What the hub has under a digest, if it is that: the name is the check."""
    with urllib.request.urlopen(f"{address}/{digest}", timeout=30) as answer:
        data = answer.read(limit + 1)
    want(len(data) <= limit, f"{digest} is longer than {limit} bytes")
    want(hashlib.sha256(data).hexdigest() == digest, f"{digest} is another file")
    return data


class Volunteer:
    def __init__(self, hub, socket):
        self.hub, self.socket = hub, socket
        self.lines = []  # of the last frame, not looked at yet

    async def send(self, kind, **members):
        await self.socket.send(json.dumps({"type": kind, **members}, separators=(",", ":")))

    async def receive(self):
        while not self.lines:
            frame = await self.socket.recv()
            want(isinstance(frame, str), "a binary frame")
            self.lines = frame.split("\n")
        message = json.loads(self.lines.pop(0))
        want(isinstance(message, dict) and isinstance(message.get("type"), str), "a message without a type")
        if message["type"] == "error":
            raise Trouble(f"the hub says: {message['message']} ({message['code']})")
        return message

    async def join(self, key):
        """Proves the key by signing what the hub made up for this connection."""
        hello = await self.receive()
        want(hello["type"] == "hello" and is_hex(hello["hub"], 64) and is_hex(hello["nonce"], 64), "no good hello")
        proof = f"countersign.join/v1\n{hello['hub']}\n{hello['nonce']}\n".encode()
        await self.send("join", worker=key.public.hex(), signature=key.sign(proof).hex(), agent="volunteer.py/1", **{"pass": ""})
        welcome = await self.receive()
        want(welcome["type"] == "welcome", f"{welcome['type']} where welcome belongs")
        print(f"joined hub {hello['hub'][:12]} as {key.public.hex()[:12]}" + (", which is halted" if welcome["halted"] else ""))

    async def lease(self):
        """Waits for a lease; messages about other things go by."""
        await self.send("want", leases=1)
        while True:
            message = await self.receive()
            if message["type"] == "lease":
                return message
            if message["type"] == "idle":
                print("nothing to do at the moment; waiting")

    def look(self, lease):
        """Says what is asked of us, from the statements that the lease names."""
        order = json.loads(fetch(self.hub + "/s", lease["order"], MAX_STATEMENT))
        release = json.loads(fetch(self.hub + "/s", lease["release"], MAX_STATEMENT))
        want(order["release_sha256"] == lease["release"], "the order is on another release")
        module = fetch(self.hub + "/m", release["module_sha256"], release["module_length"])
        text = base64.b64decode(lease["input"], validate=True)
        print(f"task {lease['task']} of {order['title']!r}: {release['name']} version {release['version']}, {release['purpose']}")
        print(f"module of {len(module)} bytes, input of {len(text)}: {text[:60]!r}")

    async def give_back(self, lease):
        """Ends the lease at once, so that another need not wait for its time."""
        await self.send("want", leases=0)
        await self.send("return", id=lease["id"], reason="stopped", check="", detail="")
        print("returned")


async def visit(hub, patience):
    address = re.sub("^http", "ws", hub) + "/v1/work"
    async with websockets.connect(address, subprotocols=[SUBPROTOCOL], max_size=MAX_TO_WORKER, compression=None) as socket:
        want(socket.subprotocol == SUBPROTOCOL, "the hub does not speak " + SUBPROTOCOL)
        volunteer = Volunteer(hub, socket)
        await asyncio.wait_for(volunteer.join(Key()), 30)
        lease = await asyncio.wait_for(volunteer.lease(), patience)
        try:
            await asyncio.get_running_loop().run_in_executor(None, volunteer.look, lease)
        finally:
            await volunteer.give_back(lease)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("hub", help="the hub's address, like http://127.0.0.1:8080")
    parser.add_argument("--patience", type=float, default=60, metavar="SECONDS", help="how long to wait for a lease (default 60)")
    options = parser.parse_args()
    try:
        asyncio.run(visit(options.hub.rstrip("/"), options.patience))
    except asyncio.TimeoutError:
        sys.exit("volunteer.py: no lease came; is there an order?")
    except OSError as error:
        sys.exit(f"volunteer.py: the hub cannot be reached: {error}")
    except (Trouble, ValueError, KeyError, websockets.WebSocketException) as error:
        sys.exit(f"volunteer.py: {error}")


if __name__ == "__main__":
    main()
