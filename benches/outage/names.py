"""The DNS server of the lab: knows a few names, and lies when told to.

Runs within `run`, on the switch's address. One packet in, at most one out; TCP and EDNS are not
spoken, since no answer here is long.
"""

import asyncio
import struct

TTL = 1
TYPE_A = 1
NXDOMAIN, SERVFAIL = 3, 2


class Names(asyncio.DatagramProtocol):
    """`table` is what names stand for; `lie` is None, `empty`, `nxdomain`, `servfail` or `silent`."""

    def __init__(self, table):
        self.table, self.lie, self.asked = table, None, 0

    @classmethod
    async def serve(cls, address, table):
        loop = asyncio.get_running_loop()
        _, names = await loop.create_datagram_endpoint(lambda: cls(table), (address, 53))
        return names

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, packet, peer):
        self.asked += 1
        if self.lie != "silent" and (question := read_question(packet)):
            self.transport.sendto(self.answer(packet[:2], *question), peer)

    def answer(self, ident, name, kind, question):
        addresses = self.table.get(name)
        code = SERVFAIL if self.lie == "servfail" else NXDOMAIN if self.lie == "nxdomain" or addresses is None else 0
        listed = addresses if code == 0 and self.lie is None and kind == TYPE_A else []
        # Answer, authoritative, recursion desired and available; the name is a pointer to the question.
        head = ident + struct.pack("!HHHHH", 0x8580 | code, 1, len(listed), 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", TYPE_A, 1, TTL, 4)
        return head + question + b"".join(record + bytes(map(int, address.split("."))) for address in listed)


def read_question(packet):
    """Name, type and bytes of the question; None for what is no question."""
    labels, at = [], 12
    while at < len(packet) and packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii", "replace").lower())
        at += 1 + packet[at]
    if at + 5 > len(packet):
        return None
    return ".".join(labels), struct.unpack("!H", packet[at + 1:at + 3])[0], packet[12:at + 5]
