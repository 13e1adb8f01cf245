"""Reads what a guest of the KubeVirt stand-in wrote to its disks.

A disk is a row of 64-byte slots from offset 0 (tests/cluster/kubevirt/guest/record.go): magic,
number, time, the writing VMI's UID, the disk's index, CRC-32C. A slot of zeros is the end. This reader
shares no code with the writer, so a mistake in one is seen by the other.
"""

import struct
import uuid
from collections import namedtuple

MAGIC = b"WKGUEST1"
SLOT = 64
_LAYOUT = struct.Struct("<8sQQ16sI16sI")

Record = namedtuple("Record", "number time_ns guest disk")


def _crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    """CRC-32C (Castagnoli), which the standard library lacks."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Disk:
    """What one disk file holds: `records` in order, `torn` offsets of slots that are neither a
    whole record nor empty, `end` the offset behind the last used slot, `size` of the file."""

    def __init__(self, records, torn, end, size):
        self.records = records
        self.torn = torn
        self.end = end
        self.size = size

    def numbers(self, guest=None):
        return [r.number for r in self.records if guest is None or r.guest == guest]

    def last(self):
        return self.records[-1].number if self.records else 0

    def guests(self):
        """The VMI UIDs that wrote here, in order of their first record."""
        return list(dict.fromkeys(r.guest for r in self.records))

    def problems(self):
        """What is wrong with it, in words: empty for a disk that nobody harmed."""
        found = [f"torn slot at {offset}" for offset in self.torn]
        for guest in self.guests():
            numbers = self.numbers(guest)
            for before, after in zip(numbers, numbers[1:]):
                if after != before + 1:
                    found.append(f"guest {guest}: record {after} follows {before}")
        return found


def written(disk, guest=None):
    """How many writes of a guest in torn mode a copy holds: two for each whole record, one for half a
    record behind them. `guest`: who wrote them; the copy's own may have gone on."""
    whole = len(disk.numbers(guest))
    return 2 * whole + (whole * SLOT in disk.torn)


def one_moment(counts):
    """True of what each disk holds, in the guest's order, when all were copied at one point in time: the
    guest writes to one disk after the other, so an earlier one may be one write ahead."""
    return counts == sorted(counts, reverse=True) and counts[0] - counts[-1] <= 1


def read(path):
    """The Disk behind a volume or snapshot file; it may be written to meanwhile."""
    records, torn, offset = [], [], 0
    empty = bytes(SLOT)
    with open(path, "rb") as disk:
        size = disk.seek(0, 2)
        disk.seek(0)
        while True:
            slot = disk.read(SLOT)
            if not slot or slot == empty:
                break
            record = _decode(slot)
            if record:
                records.append(record)
            else:
                torn.append(offset)
            offset += len(slot)
    return Disk(records, torn, offset, size)


def _decode(slot):
    if len(slot) != SLOT:
        return None
    magic, number, time_ns, guest, disk, _, crc = _LAYOUT.unpack(slot)
    if magic != MAGIC or crc != crc32c(slot[:60]):
        return None
    return Record(number, time_ns, str(uuid.UUID(bytes=guest)), disk)
