"""Records from stdin and files into a topic."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import click

from partstream.cli import times
from partstream.cli.progress import progress_bar
from partstream.cli.record_lines import (
    BadLine,
    HeaderPair,
    LineParser,
    Outgoing,
    parse_header,
    parse_json,
    text_parser,
)
from partstream.cli.settings import connected, of, properties
from partstream.client.delivery import Delivery
from partstream.errors import ClientTimeout
from partstream.sync.producer import Producer

_LOOK_EVERY = 5_000
"""Records between two looks at what has been delivered."""


@click.command(short_help="Send lines of stdin or files to a topic.")
@click.argument("topic")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "-K", "--key-separator", metavar="TEXT",
    help="Each line is a key, this, and a value; as in -K: for key:value.",
)  # fmt: skip
@click.option("-k", "--key", metavar="TEXT", help="The key of all records.")
@click.option("--json", "as_json", is_flag=True, help="Each line is a JSON object; see below.")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="NAME=VALUE",
    help="A header of all records. Repeatable.",
)  # fmt: skip
@click.option("-Z", "--null", metavar="TEXT", help="A value that is this text means: no value.")
@click.option("-p", "--partition", type=click.IntRange(0), help="Instead of one by the key.")
@click.option("--timestamp", type=times.time, help="The time of all records (default: now).")
@click.option("-z", "--compression", type=click.Choice(["none", "gzip", "snappy", "lz4", "zstd"]))
@click.option("--acks", type=click.Choice(["0", "1", "all"]))
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Most records a second.")
@click.option("--no-create", is_flag=True, help="Fail if the topic does not exist.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say how many were sent if all were.")
@properties
@connected
@click.pass_context
def produce(
    ctx: click.Context,
    topic: str,
    *,
    files: tuple[str, ...],
    key_separator: str | None,
    key: str | None,
    as_json: bool,
    headers: tuple[str, ...],
    null: str | None,
    partition: int | None,
    timestamp: datetime | None,
    compression: str | None,
    acks: str | None,
    rate: float | None,
    no_create: bool,
    quiet: bool,
) -> None:
    """Send each line of stdin or of FILES as a record to TOPIC.

    With --json a line is an object with any of key, value, headers, partition and timestamp (ms),
    as `consume --json` prints it. Text is sent as UTF-8, {"base64": "..."} as those bytes, null as
    none, and any other value as its JSON.

    What was read when Ctrl-C comes is still sent.
    """
    _check(as_json, key_separator, key, null)
    sent_with: dict[str, object] = {"allow_auto_create_topics": not no_create}
    if compression is not None:
        sent_with["compression_type"] = compression
    if acks is not None:
        sent_with["acks"] = acks
    parse: LineParser = parse_json
    if not as_json:
        parse = text_parser(_encoded(key_separator), _encoded(null), key=_encoded(key))
    common = Outgoing(
        value=None,
        headers=tuple(_header(text) for text in headers),
        partition=partition,
        timestamp_ms=None if timestamp is None else int(timestamp.timestamp() * 1000),
    )
    with Producer(**of(ctx).client(**sent_with)) as producer:
        sending = Sending(producer, topic, common, rate)
        cut_short = True
        try:
            for name in files or ("-",):
                _send_file(sending, name, parse)
            cut_short = False
        finally:
            sending.finish()
            # Also in front of the error or Ctrl-C that cuts it short, if anything was sent at all.
            if sending.failures or not (quiet or (cut_short and not sending.sent)):
                click.echo(sending.summary(), err=True)
    if sending.failures:
        ctx.exit(1)


class Sending:
    """Sends records, at most so many a second, and keeps count of what became of them."""

    def __init__(
        self, producer: Producer, topic: str, common: Outgoing, rate: float | None
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._common = common
        self._rate = rate
        self._started = time.monotonic()
        self._open: deque[Delivery] = deque()
        self.sent = 0
        self.failures = 0
        self._failure: BaseException | None = None

    def send(self, record: Outgoing) -> None:
        """Send one record, when its turn has come."""
        if self._rate is not None:
            wait = self._started + self.sent / self._rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
        common = self._common
        delivery = self._producer.send(
            self._topic,
            record.value,
            key=record.key,
            headers=common.headers + record.headers or None,
            partition=common.partition if record.partition is None else record.partition,
            timestamp_ms=(
                common.timestamp_ms if record.timestamp_ms is None else record.timestamp_ms
            ),
        )
        self.sent += 1
        self._open.append(delivery)
        if self.sent % _LOOK_EVERY == 0:
            self._look()

    def finish(self) -> None:
        """Wait for what is still on its way."""
        self._producer.flush()
        self._look()

    def summary(self) -> str:
        """What became of it all, in a line."""
        seconds = max(time.monotonic() - self._started, 1e-6)
        delivered = self.sent - self.failures
        text = f"{delivered} records to {self._topic} in {seconds:.2f} s"
        text += f" ({delivered / seconds:,.0f}/s)"
        if self.failures:
            text += f"; {self.failures} failed, the first with: {self._failure}"
        return text

    def _look(self) -> None:
        while self._open:
            try:
                failure = self._open[0].exception(0)
            except ClientTimeout:
                return  # on its way, and so is what was sent after it
            self._open.popleft()
            if failure is not None:
                self.failures += 1
                self._failure = self._failure or failure


def _send_file(sending: Sending, name: str, parse: LineParser) -> None:
    """Send every line of a file, with a progress bar, or of stdin."""
    if name == "-":
        if sys.stdin.isatty():
            click.echo("One record a line; Ctrl-D ends.", err=True)
        _send_lines(sending, sys.stdin.buffer, "stdin", parse, lambda _: None)
        return
    path = Path(name)
    with (
        path.open("rb") as lines,
        progress_bar(path.name, path.stat().st_size, in_bytes=True) as advance,
    ):
        _send_lines(sending, lines, name, parse, advance)


def _send_lines(
    sending: Sending,
    lines: BinaryIO,
    name: str,
    parse: LineParser,
    advance: Callable[[int], None],
) -> None:
    done = 0
    for number, line in enumerate(lines, 1):
        try:
            record = parse(line.removesuffix(b"\n").removesuffix(b"\r"))
        except BadLine as error:
            raise click.ClickException(f"{name}, line {number}: {error}") from None
        sending.send(record)
        done += len(line)
        if number % _LOOK_EVERY == 0:
            advance(done)
            done = 0
    advance(done)


def _check(as_json: bool, key_separator: str | None, key: str | None, null: str | None) -> None:
    if as_json and (key_separator, key, null) != (None, None, None):
        raise click.UsageError("--json does not go with --key-separator, --key and --null")
    if key_separator is not None and key is not None:
        raise click.UsageError("give --key-separator or --key, not both")
    if key_separator == "":
        raise click.UsageError("--key-separator: expected some text")


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _header(text: str) -> HeaderPair:
    header = parse_header(text)
    if header is None:
        raise click.BadParameter(f"--header {text!r}: expected NAME=VALUE")
    return header
