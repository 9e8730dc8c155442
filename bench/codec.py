"""What the record codec and the partitioners cost.

    python -m bench.codec [--json FILE]

One thread, the best of seven rounds. The C codec alone stands beside what is built around it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter

from bench import rows
from partstream.partitioners import PARTITIONERS, Partitioner, murmur2
from partstream.records import header
from partstream.records.codec import BatchBuilder, decode
from partstream.records.compression import NAMES
from partstream.records.native import (
    DefaultRecordBatch,
    DefaultRecordBatchBuilder,
    crc32c_software,
)

COUNT = 500
TIMESTAMP = 1_700_000_000_000
KEYS = [b"customer-%04d" % i for i in range(COUNT)]
VALUES = [
    b'{"order": %d, "amount": %d, "note": "%s"}' % (i, i * 7919, b"x" * 60) for i in range(COUNT)
]


def seconds(call: Callable[[], object], rounds: int = 7, calls: int = 20) -> float:
    """The least time that one call took, in seconds."""
    best = float("inf")
    for _ in range(rounds):
        start = perf_counter()
        for _ in range(calls):
            call()
        best = min(best, (perf_counter() - start) / calls)
    return best


class Report:
    """Prints, and keeps, what calls cost."""

    def __init__(self) -> None:
        self.rows: list[rows.Row] = []

    def __call__(self, name: str, call: Callable[[], object], count: int = COUNT) -> None:
        """One call, which handles `count` things."""
        each = seconds(call) / count
        print(f"{name:<36} {each * 1e9:>9,.0f} ns each {1 / each / 1e6:>8.2f} M/s")
        self.rows.append({"what": name, "ns": each * 1e9})


def build(codec: int) -> bytes:
    builder = BatchBuilder(codec)
    append = builder.append
    for key, value in zip(KEYS, VALUES, strict=True):
        append(TIMESTAMP, key, value, [])
    return builder.build()


def build_in_c() -> object:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    append = builder.append
    for offset, (key, value) in enumerate(zip(KEYS, VALUES, strict=True)):
        append(offset, TIMESTAMP, key, value, [])
    built: object = builder.build()
    return built


def place(partition: Partitioner) -> list[int]:
    return [partition(key, 12) for key in KEYS]


def main() -> None:
    options = rows.parser(__doc__).parse_args()
    report = Report()
    plain = build(0)
    print(f"batches of {COUNT} records, {len(plain):,} bytes\n")
    report("encode, the C codec alone", build_in_c)
    for codec, name in enumerate(NAMES):
        report(f"encode, {name}", partial(build, codec))
    report("decode, the C codec alone", lambda: list(DefaultRecordBatch(plain)))
    for codec, name in enumerate(NAMES):
        batch = build(codec)
        report(f"decode, {name}, {len(batch):,} bytes", partial(decode, batch, "t", 0, 1 << 40))
    report("decode, no CRC", lambda: decode(plain, "t", 0, 1 << 40, check_crcs=False))
    print()
    report("a batch: parse", lambda: header.parse(plain), 1)
    report("a batch: check_crc", lambda: header.check_crc(plain), 1)
    report("a batch: CRC in aiokafka's C", lambda: crc32c_software(plain), 1)
    report("a batch: stamp", lambda: header.stamp(plain, 1 << 40, 3), 1)
    report("a batch: split", lambda: header.batches(plain), 1)
    print()
    for name, partition in PARTITIONERS.items():
        report(f"{name}, keys that come back", partial(place, partition))
    report("murmur2, a key of 13 bytes, new", lambda: [murmur2.__wrapped__(key) for key in KEYS])
    rows.write(options.json, report.rows)


if __name__ == "__main__":
    main()
