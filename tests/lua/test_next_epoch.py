"""Leader epochs of histories that know nothing of each other, with made-up replication ids."""

from __future__ import annotations

from importlib.resources import files
from itertools import pairwise

import pytest

from partstream.embedded.resp import text
from tests.servers.pool import Server

SINCE = 1_577_836_800
"""The second from which epochs count, 2020-01-01."""
NOW = 1_800_000_000
FIRST = "a000" + "0" * 36
OTHER = "0001" + "0" * 36
SCRIPT = (files("partstream.store") / "lua/includes/epoch.lua").read_text(encoding="utf-8") + (
    "local epoch, history = next_epoch(KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4],\n"
    "  tonumber(ARGV[5]))\n"
    "return {epoch, history or ''}\n"
)


class Copy:
    """What one server has of a log's epochs."""

    def __init__(self, server: Server, key: str, epochs: tuple[int, ...] = (0,)) -> None:
        self._server, self._key = server, key
        self.epochs, self._token = epochs, "0" * 40

    def copy(self) -> Copy:
        """A replica of it that is in sync."""
        return Copy(self._server, self._key, self.epochs)

    def write(self, token: str, second: float) -> int:
        """The epoch of what is written in a history at a time; the log is at its end 7."""
        history = " ".join(f"{epoch}:7" for epoch in self.epochs)
        self._server.command("HSET", self._key, "epochs", history)
        epoch, made = self._server.command(  # type: ignore[misc]
            *("EVAL", SCRIPT, 1, self._key, self.epochs[-1]),
            *(self._token, token, "7", int(second * 1000)),
        )
        assert isinstance(epoch, int)
        if epoch != self.epochs[-1]:
            self.epochs, self._token = (*self.epochs, epoch), token
            assert text(made) == f"{history} {epoch}:7"
        return epoch


@pytest.fixture
def log(server: Server, namespace: str) -> Copy:
    """A log in its first epoch."""
    return Copy(server, f"{namespace}:state")


def test_an_epoch_is_the_second_in_which_it_begins(log: Copy) -> None:
    assert log.write(FIRST, NOW + 0.999) == NOW - SINCE
    assert log.write(FIRST, NOW + 60) == NOW - SINCE
    assert log.write(OTHER, NOW + 60) == NOW + 60 - SINCE


@pytest.mark.parametrize(("lost", "kept"), [(FIRST, OTHER), (OTHER, FIRST)])
def test_what_follows_a_lost_history_is_above_it(log: Copy, lost: str, kept: str) -> None:
    """Whatever the replication ids, and however often the primary that is lost began anew."""
    replica = log.copy()
    seen = [log.write(lost[:number] + "f" + lost[number + 1 :], NOW + number) for number in (1, 2)]
    epoch = replica.write(kept, NOW + 4)
    assert 0 < seen[0] < seen[1] < epoch
    assert replica.epochs == (0, epoch)


def test_histories_in_one_second_that_follow_each_other(log: Copy) -> None:
    epochs = [log.write(f"{number:040x}", NOW) for number in range(1, 50)]
    assert all(one < other for one, other in pairwise(epochs))
    assert epochs[-1] == NOW - SINCE + 48


@pytest.mark.parametrize("second", [NOW - 60, 0, SINCE, SINCE + (1 << 31), 1 << 40])
def test_a_clock_that_is_no_measure(log: Copy, second: int) -> None:
    """It is far behind, or so far ahead that Kafka's int32 does not hold it."""
    log.write("1" * 40, NOW)
    other = log.copy()
    assert log.write(FIRST, second) == NOW - SINCE + 1 + 0xA000
    assert other.write(OTHER, second) == NOW - SINCE + 2


@pytest.mark.parametrize("behind", [0, 1, 59])
def test_a_clock_that_is_a_little_behind(log: Copy, behind: int) -> None:
    log.write("1" * 40, NOW)
    assert log.write(FIRST, NOW - behind) == NOW - SINCE + 1


def test_no_epoch_begins_where_replication_is_not_told(log: Copy) -> None:
    assert log.write("", NOW) == 0
