"""Commands of one key never overtake one another, whichever way they go."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Any, cast

import pytest
from redis.exceptions import AskError, MovedError, ResponseError, TryAgainError

from partstream.errors import OutcomeUnknown, StoreUnavailable
from partstream.store.courses import Courses
from partstream.store.link import ignore
from partstream.store.node import Node
from partstream.store.router import Router


class FakeLink:
    """A connection whose answers the test gives."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.owed: deque[asyncio.Future[Any]] = deque()

    def submit(self, *command: Any) -> asyncio.Future[Any]:
        self.sent.append(command)
        self.owed.append(asyncio.get_running_loop().create_future())
        return self.owed[-1]

    def submit_asking(self, *command: Any) -> asyncio.Future[Any]:
        ignore(self.submit("ASKING"))
        return self.submit(*command)


class FakeNode:
    """A server; its link is open unless it is `away`, and cannot be opened if it is `dead`."""

    def __init__(self) -> None:
        self.open = FakeLink()
        self.away = self.dead = False

    @property
    def ready(self) -> FakeLink | None:
        return None if self.away else self.open

    async def link(self) -> FakeLink:
        if self.dead:
            raise StoreUnavailable("dead")
        self.away = False
        return self.open


class FakeRouter:
    """Every slot is on `owner`; whoever is named in an ASK is `other`."""

    def __init__(self) -> None:
        self.owner, self.other = FakeNode(), FakeNode()
        self.known: dict[str, FakeNode] = {}

    def asked(self, key: str) -> FakeNode | None:
        return self.known.get(key)

    def node(self, _: int) -> FakeNode:
        return self.owner

    def holder(self, key: str) -> FakeNode:
        return self.known.get(key) or self.owner

    def found(self, key: str, node: FakeNode | None) -> None:
        if node is None:
            self.known.pop(key, None)
        else:
            self.known[key] = node

    def pointed_to(self, _: AskError, __: Node) -> FakeNode:
        return self.other


def ask() -> AskError:
    return AskError("7 127.0.0.1:7001")


async def answer(link: FakeLink, *outcomes: Any) -> None:
    """Answer what comes next on a link, each in its turn."""
    for outcome in outcomes:
        future = link.owed.popleft()
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
        await asyncio.sleep(0)


def made() -> tuple[Courses, FakeRouter]:
    router = FakeRouter()
    return Courses(cast(Router, router)), router


async def test_what_is_named_is_asked_once_all_are_answered() -> None:
    courses, router = made()
    owner, other = router.owner.open, router.other.open
    for number in range(3):
        assert courses.submit("k", number)
    await answer(owner, "ok", ask())
    assert courses.submit("k", 3) is None, "the third is on its way to the owner"
    waiting = asyncio.create_task(courses.ready("k"))
    await asyncio.sleep(0)
    assert not waiting.done()
    await answer(owner, ask())
    await waiting
    for number in (1, 2):
        assert courses.submit("k", number)
    assert owner.sent == [(0,), (1,), (2,)]
    assert other.sent == [("ASKING",), (1,), ("ASKING",), (2,)]
    assert courses.submit("other key", 5), "each key has a way of its own"
    assert owner.sent[-1] == (5,)


@pytest.mark.parametrize(
    "failure",
    [
        MovedError("7 127.0.0.1:7001"),
        TryAgainError(""),
        OutcomeUnknown(),
        StoreUnavailable(),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_the_owner_is_asked_again_after_a_failure(failure: Exception) -> None:
    courses, router = made()
    courses.submit("k", 1)
    await answer(router.owner.open, ask())
    courses.submit("k", 1)
    await answer(router.other.open, "+OK", failure)
    courses.submit("k", 1)
    assert router.owner.open.sent == [(1,), (1,)]


async def test_the_owner_is_asked_again_if_the_other_is_gone() -> None:
    courses, router = made()
    courses.submit("k", 1)
    router.other.away = router.other.dead = True
    await answer(router.owner.open, ask())
    assert courses.submit("k", 1) is None
    with pytest.raises(StoreUnavailable):
        await courses.ready("k")
    assert courses.submit("k", 1)
    assert router.owner.open.sent == [(1,), (1,)]


async def test_what_a_script_refuses_changes_no_way() -> None:
    courses, router = made()
    courses.submit("k", 1)
    await answer(router.owner.open, ask())
    for number in (1, 2):
        courses.submit("k", number)
    await answer(router.other.open, "+OK", ResponseError("KAFKA 45 out of order"))
    courses.submit("k", 3)
    assert router.other.open.sent[-1] == (3,)
    assert router.owner.open.sent == [(1,)]


async def test_a_bell_is_rung_where_they_listen() -> None:
    courses, router = made()
    courses.submit("k", 1, bell="b")
    await answer(router.owner.open, ask())
    courses.submit("k", 1, bell="b")
    await answer(router.other.open, "+OK", "ok")
    assert router.owner.open.sent == [(1,), ("SPUBLISH", "b", "")]


async def test_a_link_that_is_not_open_is_waited_for() -> None:
    courses, router = made()
    router.owner.away = True
    assert courses.submit("k", 1) is None
    await courses.ready("k")
    assert courses.submit("k", 1)


@pytest.mark.parametrize("seed", range(50))
async def test_nothing_is_overtaken(seed: int) -> None:
    rng = random.Random(seed)
    courses, router = made()
    nodes = [router.owner, router.other]
    unanswered: dict[asyncio.Future[Any], FakeNode] = {}
    sent = 0
    for _ in range(400):
        if rng.random() < 0.6:
            future = courses.submit("k", sent)
            if future is not None:
                (node,) = (one for one in nodes if one.open.owed and one.open.owed[-1] is future)
                others = set(unanswered.values()) - {node}
                assert not others, "an earlier one is on its way elsewhere"
                unanswered[future] = node
                sent += 1
        else:
            node = rng.choice(nodes)
            if node.open.owed:
                future = node.open.owed[0]
                unanswered.pop(future, None)
                failures = [ask(), TryAgainError(""), MovedError("7 h:1"), OutcomeUnknown()]
                await answer(node.open, "ok" if rng.random() < 0.85 else rng.choice(failures))
        if rng.random() < 0.3:
            await asyncio.sleep(0)
    assert sent > 20
