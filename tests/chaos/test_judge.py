"""The judge finds each anomaly that is planted, and nothing in a history without any."""

from __future__ import annotations

import pytest

from tests.chaos.histories import VALUES, clean, kinds, lost, one_more, without
from tests.chaos.history import (
    Acked,
    Assigned,
    Began,
    Calm,
    Closed,
    CommitBegun,
    Crashed,
    Event,
    Failed,
    Killed,
    Leaked,
    Linked,
    LogEnd,
    LossSeen,
    Memory,
    Moved,
    Read,
    Rewound,
    Sent,
    Stored,
    Stuck,
    Told,
)
from tests.chaos.judge import Promise, judge


def test_a_clean_history_has_no_anomalies() -> None:
    assert judge(clean()) == []
    assert judge(clean(), Promise(may_lose=True)) == []


def test_a_client_that_was_killed_may_leave_things_open() -> None:
    events = without(clean(), lambda event: isinstance(event, Closed) and event.client == "p")
    events += [Sent(9.0, "p", "k", "p/9/x"), Killed(9.05, "p")]
    assert judge(events) == []
    assert kinds(without(events, lambda event: isinstance(event, Killed))) == {"stuck"}


def test_a_worker_that_was_killed_takes_its_clients_along() -> None:
    events = [*clean(), Began(1.0, "w0g1-member1", "member"), Killed(2.0, "w0g1")]
    assert judge(events) == []


# The log.


def test_an_acknowledged_record_that_is_gone() -> None:
    assert "lost" in kinds(lost(clean(), 4))


@pytest.mark.parametrize(("value", "expected"), [("p/5/x", set()), ("p/9/x", {"lost"})])
def test_a_record_whose_offset_the_producer_does_not_know(value: str, expected: set[str]) -> None:
    events = [*clean(), Acked(8.9, "p", value, 0, -1)]
    if value not in VALUES:
        events += [Sent(8.8, "p", "k", value)]
    assert kinds(events) == expected


def test_a_loss_that_the_producer_was_told_of() -> None:
    told = LossSeen(8.9, "p", 0, 4, 6)
    assert kinds([*lost(clean(), 4), told], Promise(may_lose=True)) == set()
    assert "lost" in kinds([*lost(clean(), 4), told])


@pytest.mark.parametrize("told", [[], [LossSeen(8.9, "p", 0, 5, 6)], [LossSeen(8.9, "q", 0, 4, 6)]])
def test_a_loss_that_the_producer_was_not_told_of(told: list[Event]) -> None:
    assert kinds([*lost(clean(), 4), *told], Promise(may_lose=True)) == {"lost unnoticed"}


def test_a_loss_that_the_producer_had_no_chance_to_notice() -> None:
    assert kinds(lost(clean(), 4, late=()), Promise(may_lose=True)) == set()


def test_a_loss_that_there_is_not() -> None:
    assert kinds([*clean(), LossSeen(8.9, "p", 0, 3, 6)]) == {"false alarm"}


def test_a_duplicate() -> None:
    assert kinds([*clean(), *one_more(VALUES[5])]) == {"duplicate"}


@pytest.mark.parametrize(
    ("again", "error", "failed_at", "expected"),
    [
        ("7 in epoch 1", "_MSG_TIMED_OUT", 6.05, set()),
        ("7 in epoch 0", "_MSG_TIMED_OUT", 6.05, {"duplicate"}),
        ("7 in epoch 1", "late", 6.05, {"duplicate"}),
        ("7 in epoch 1", "_MSG_TIMED_OUT", 7.0, {"duplicate"}),
    ],
)
def test_a_kafka_producer_that_gave_up_and_began_anew(
    again: str, error: str, failed_at: float, expected: set[str]
) -> None:
    """What was on its way meanwhile comes once more, in another epoch."""
    events: list[Event] = []
    for event in [*clean(), *one_more(VALUES[5])]:
        producer = again if getattr(event, "offset", 0) == 6 else "7 in epoch 0"
        events.append(event._replace(producer=producer) if isinstance(event, Stored) else event)
    events += [Sent(0.9, "p", "k", "p/9/x"), Failed(failed_at, "p", "p/9/x", error, False)]
    assert kinds(events) == expected
    # What it is, it is also if the producer gave up that one, too.
    events = without(events, lambda event: isinstance(event, Acked) and event.value == VALUES[5])
    assert kinds([*events, Failed(6.1, "p", VALUES[5], "late", False)]) == expected


def test_a_producer_that_is_not_idempotent_may_repeat_itself() -> None:
    events = without(clean(), lambda event: isinstance(event, Began) and event.client == "p")
    events += [Began(0.0, "p", "producer", False), *one_more(VALUES[5])]
    assert kinds(events) == set()


def test_records_out_of_order() -> None:
    events = without(clean(), lambda event: isinstance(event, Sent))
    order = [0, 1, 3, 2, 4, 5]
    events += [Sent(1.0 + at, "p", "k", VALUES[number]) for at, number in enumerate(order)]
    events.sort(key=lambda event: getattr(event, "at", 99.0))
    assert kinds(events) == {"reordered"}


def test_a_key_in_two_partitions() -> None:
    events = [*clean(), Sent(8.9, "p", "k", "p/8/x"), Failed(9.0, "p", "p/8/x", "late", False)]
    events += one_more("p/8/x", partition=1, offset=0)
    assert kinds(events) == {"reordered"}


def test_offsets_with_a_hole() -> None:
    events = without(clean(), lambda event: isinstance(event, Stored) and event.offset == 3)
    assert "not dense" in kinds(events)


def test_a_log_that_ends_before_its_end() -> None:
    assert kinds([*clean(), LogEnd(0, 0, 7, 1)]) == {"not dense", "stopped short"}


def test_an_epoch_that_goes_back() -> None:
    events = without(clean(), lambda event: isinstance(event, Stored) and event.offset == 5)
    assert kinds([*events, Stored(0, 5, 0, "k", VALUES[5])]) == {"epoch went back"}


def test_a_record_that_nobody_sent() -> None:
    assert kinds([*clean(), *one_more("?/1/x")]) == {"phantom"}


def test_a_record_that_was_refused_for_certain() -> None:
    events = [*clean(), *one_more("p/8/x")]
    events += [Sent(8.9, "p", "k", "p/8/x"), Failed(9.0, "p", "p/8/x", "too large", True)]
    assert kinds(events) == {"phantom"}


def test_a_record_that_was_given_up_may_be_there() -> None:
    events = [*clean(), *one_more("p/8/x")]
    events += [Sent(8.9, "p", "k", "p/8/x"), Failed(9.0, "p", "p/8/x", "late", False)]
    assert kinds(events) == set()


# Reading.


def test_a_gap() -> None:
    events = [*clean(), Moved(8.5, "r", 0, 0), Read(8.6, "r", 0, 4, VALUES[4:])]
    assert kinds(events) == {"gap"}


def test_records_that_come_again() -> None:
    assert kinds([*clean(), Read(8.4, "r", 0, 2, VALUES[2:])]) == {"read again"}


def test_a_member_that_does_not_begin_where_it_is_to() -> None:
    events = [*clean(), Assigned(8.4, "m", 0, 6), Read(8.5, "m", 0, 5, VALUES[5:])]
    assert kinds(events) == {"read again"}


def test_a_reader_that_does_not_come_to_the_end() -> None:
    events = without(clean(), lambda event: event == Read(8.4, "r", 0, 3, VALUES[3:]))
    assert kinds(events) == {"stopped short"}
    assert kinds([*events, Killed(9.0, "r")]) == set()
    assert kinds([*events, Crashed(9.0, "r", "KeyError")]) == {"crashed"}


def test_a_reader_that_is_not_handed_out_all() -> None:
    events = without(clean(), lambda event: isinstance(event, Moved | Read) and event.client == "r")
    events += [Moved(8.0, "r", 0, 2), Read(8.1, "r", 0, 2, VALUES[2:])]
    assert kinds(events) == {"stopped short"}
    told: list[Event] = [Told(8.2, "r", 0, 3), Read(8.3, "r", 0, 3, VALUES[3:])]
    assert kinds([*events, *told]) == set()


@pytest.mark.parametrize("late", [("p/6/x", "p/7/x"), ("p/4/x", "p/5/x")])
@pytest.mark.parametrize(("back", "expected"), [(4, set()), (0, {"read again"})])
def test_a_kafka_consumer_that_goes_back(
    late: tuple[str, ...], back: int, expected: set[str]
) -> None:
    """To where another history begins, and no farther; it may hold the same."""
    events = [
        *lost(clean(), 4, late),
        Read(7.0, "n", 0, 3, VALUES[3:5]),
        Rewound(9.1, "n", 0, back),
        Read(9.2, "n", 0, back, [*VALUES[back:4], *late]),
    ]
    if late[0] not in VALUES:
        events.append(LossSeen(8.9, "p", 0, 4, 6))
    assert kinds(events, Promise(may_lose=True)) == expected


def reread(*between: Event) -> list[Event]:
    """A reader reads what is gone, and then on in the history that lasts."""
    return [
        *lost(clean(), 4),
        Began(0.0, "s", "reader"),
        Moved(6.0, "s", 0, 3),
        Read(7.0, "s", 0, 3, VALUES[3:5]),
        *between,
        Read(9.7, "s", 0, 5, ["p/7/x"]),
        Killed(9.8, "s"),
        LossSeen(8.9, "p", 0, 4, 6),
    ]


def test_two_records_at_one_offset_without_a_word() -> None:
    assert kinds(reread(), Promise(may_lose=True)) == {"divergent"}


def test_a_reader_that_was_told_too_late() -> None:
    events = reread(Told(9.0, "s", 0, 5))
    assert kinds(events, Promise(may_lose=True)) == {"divergent"}


def test_a_reader_that_was_told() -> None:
    events = reread(Told(9.0, "s", 0, 4), Read(9.1, "s", 0, 4, ["p/6/x"]))
    assert kinds(events, Promise(may_lose=True)) == set()


def test_a_record_that_stands_at_one_offset_in_both_histories() -> None:
    events = reread(Read(7.5, "s", 0, 5, ["p/7/x"]), Told(9.0, "s", 0, 4), Moved(9.1, "s", 0, 5))
    assert kinds(events, Promise(may_lose=True)) == set()


def test_another_record_in_the_same_epoch() -> None:
    events = reread(Told(9.0, "s", 0, 4), Read(9.1, "s", 0, 4, ["p/6/x"]))
    events = without(events, lambda event: isinstance(event, LogEnd))
    events += [LogEnd(0, 0, 6, 1)]
    assert kinds(events, Promise(may_lose=True)) == {"divergent"}


# Clients.


def test_a_record_without_a_fate() -> None:
    assert kinds([*clean(), Sent(8.9, "p", "k", "p/8/x")]) == {"stuck"}


def test_a_commit_without_an_end() -> None:
    assert kinds([*clean(), CommitBegun(8.9, "m", 3, 0, 6)]) == {"stuck"}


def test_a_client_that_is_not_closed() -> None:
    events = without(clean(), lambda event: isinstance(event, Closed) and event.client == "r")
    assert kinds(events) == {"stuck"}


def test_a_producer_that_first_has_to_get_rid_of_what_waited() -> None:
    events = without(clean(), lambda event: isinstance(event, Acked) and event.at > 3.5)
    events += [Acked(60.0, "p", VALUES[4], 0, 4), Acked(60.0, "p", VALUES[5], 0, 5)]
    assert kinds([*events[:-2], Acked(4.6, "p", VALUES[3], 0, 3), *events[-2:]]) == set()
    assert kinds([*events, Acked(61.0, "p", VALUES[3], 0, 3)]) == {"stuck"}


def test_a_producer_that_does_not_go_on() -> None:
    assert kinds(clean(), Promise(settle_s=0.1)) >= {"stuck"}
    events = without(clean(), lambda event: isinstance(event, Calm))
    events += [Calm(8.0), Sent(8.5, "p", "k", "p/8/x"), Failed(9.0, "p", "p/8/x", "late", False)]
    assert kinds(events) == {"stuck"}


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        (Stuck(9.0, "w", "did not end"), "stuck"),
        (Crashed(9.0, "m", "KeyError"), "crashed"),
        (Leaked(9.5, "w", 1, 0, "a task"), "leaked"),
        (Leaked(9.5, "w", 0, 2), "leaked"),
        (Memory(9.5, "w", 200_000), "memory"),
        (Linked(9.0, "server 1", "", "m", 4), "leaked"),
        (Linked(9.0, "server 2", "server 1", "m", 1), "leaked"),
        (Linked(9.5, "server 1", "", "m", 1), "leaked"),
    ],
)
def test_what_must_not_be(planted: Event, kind: str) -> None:
    assert kinds([*clean(), planted]) == {kind}
