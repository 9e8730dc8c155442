"""A dead predecessor is waited for until its session ends, a living one not for ever."""

from __future__ import annotations

from partstream.client.predecessor import Predecessor


def refusal(ends_at: int, history: str = "abc") -> str:
    return (
        f"instance i is still in use by member m, whose session ends at {ends_at} in history "
        f"{history}"
    )


def test_one_whose_session_does_not_move_on_is_dead_however_long_it_takes() -> None:
    predecessor = Predecessor(10.0)
    assert predecessor.is_new
    assert all(predecessor.is_waited_for(refusal(90_000), float(now)) for now in range(90))
    assert not predecessor.is_new


def test_one_that_heartbeats_is_alive() -> None:
    predecessor = Predecessor(10.0)
    waited = [predecessor.is_waited_for(refusal(45_000 + 3_000 * now), now) for now in range(12)]
    assert waited == [True] * 10 + [False] * 2


def test_restarts_of_the_server_are_no_heartbeats() -> None:
    predecessor = Predecessor(10.0)
    for now in range(40):
        # One every two seconds; in between a crash takes back the end of the last session.
        restarts = now // 2
        refused = refusal(8_000 + 2_000 * restarts - 3_000 * (now % 2), f"{restarts:x}")
        assert predecessor.is_waited_for(refused, float(now))


def test_without_a_word_about_its_session_patience_is_all_there_is() -> None:
    predecessor = Predecessor(10.0)
    waited = [predecessor.is_waited_for("still in use", float(now)) for now in (0, 9, 11)]
    assert waited == [True, True, False]
