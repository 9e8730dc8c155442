"""Groups with members that change their protocol, and members of both in one group (KIP-848)."""

from __future__ import annotations

from typing import Any

from tests.differential.members import (
    BEAT,
    DESCRIBE,
    JOIN,
    LEAVE,
    MEMBER_ID_REQUIRED,
    SYNC,
    beating,
    join,
    joining,
    leaving,
    syncing,
)
from tests.differential.scenario import scenario
from tests.differential.session import Answer, Session, Topic
from tests.engine.classic_members import assignment, subscription

HEARTBEAT, COMMIT, CONSUMER_DESCRIBE, LIST = 68, 8, 69, 16
_MODERN = "member-1"


async def _ask(s: Session, key: int, version: int | None = None, /, **values: Any) -> Answer:
    """Ask, and keep the answer: how often a group has changed is a server's own matter."""
    answer = await s.call(key, version, **values)
    told = answer.get("generation_id", -1)
    s.keep({**answer, "generation_id": "GENERATION"} if told > 0 else answer)
    return answer


def _wants(topic: Topic, *owned: int) -> list[dict[str, Any]]:
    return [{"name": "range", "metadata": subscription(topic.name, owned=owned, version=1)}]


async def _classic(s: Session, topic: Topic, *numbers: int, named: str, **given: Any) -> Answer:
    """A member of a classic group, alone, that has been assigned these partitions."""
    joined = await join(s, named=named, protocols=_wants(topic), **given)
    static = {key: given[key] for key in ("group_instance_id",) if key in given}
    mine = {"member_id": joined["member_id"], "assignment": assignment(topic.name, *numbers)}
    await s.call(SYNC, **syncing(s, joined, **static, assignments=[mine]))
    return joined


def _beat(s: Session, member: str, epoch: int, **given: Any) -> dict[str, Any]:
    entering = {"rebalance_timeout": 60_000, "topic_partitions": []} if epoch == 0 else {}
    values = {"group_id": s.name("g"), "member_id": member, "member_epoch": epoch}
    return {**values, **entering, **given}


async def _modern(s: Session, topic: Topic, member: str = _MODERN, **given: Any) -> Answer:
    """A member of a consumer group joins; its answer is kept, without what is assigned later."""
    names = {"subscribed_topic_names": [topic.name]}
    answer = await s.call(HEARTBEAT, **_beat(s, member, 0, **names, **given))
    s.keep(answer["error_code"])
    return answer


async def _until_owns(
    s: Session, topic: Topic, member: str, epoch: int, *numbers: int, **given: Any
) -> Answer:
    """A member of a consumer group says everything until it is told that it owns these."""

    def owns(answer: Answer) -> bool:
        told = answer["assignment"]
        rows = told["topic_partitions"] if told else []
        return sorted(n for row in rows for n in row["partitions"]) == sorted(numbers)

    everything = {
        "rebalance_timeout": 60_000,
        "topic_partitions": [],
        "subscribed_topic_names": [topic.name],
        **given,
    }
    answer = await s.call_until(owns, HEARTBEAT, **_beat(s, member, epoch, **everything))
    if not owns(answer):
        raise AssertionError(f"{member} was told {answer}")
    return answer


async def _until_beat(s: Session, code: str, member: str, generation: int, **given: Any) -> None:
    await s.ask_until(
        lambda one: one["error_code"] == code, BEAT, **beating(s, member, generation, **given)
    )


async def _commit(s: Session, topic: Topic, version: int, **given: Any) -> None:
    row = {
        "partition_index": 0,
        "committed_offset": 7,
        "committed_leader_epoch": -1,
        "committed_metadata": "",
    }
    await s.ask_other(
        COMMIT,
        version,
        **{
            "group_id": s.name("g"),
            "generation_id_or_member_epoch": -1,
            "member_id": "",
            "group_instance_id": None,
            "topics": [{"name": topic.name, "partitions": [row]}],
            **given,
        },
    )


async def _seen(s: Session) -> None:
    await s.ask_other(DESCRIBE, groups=[s.name("g")])
    answer = await s.call(CONSUMER_DESCRIBE, group_ids=[s.name("g")])
    s.keep(
        [
            [row["member_type"], row["instance_id"] or "", row["subscribed_topic_names"]]
            for row in sorted(answer["groups"][0]["members"], key=lambda row: row["member_type"])
        ]
    )


@scenario(HEARTBEAT)
async def a_classic_group_becomes_a_consumer_group(s: Session) -> None:
    topic = await s.topic("t", 2)
    old = await _classic(s, topic, 0, 1, named="old")
    member, generation = old["member_id"], old["generation_id"]
    new = await _modern(s, topic)
    await _commit(s, topic, 8, generation_id_or_member_epoch=generation, member_id=member)
    await _commit(s, topic, 9, generation_id_or_member_epoch=generation, member_id=member)
    await _until_beat(s, "REBALANCE_IN_PROGRESS", member, generation)
    await s.ask_other(BEAT, **beating(s, member, generation + 7))
    await s.ask_other(SYNC, **syncing(s, old))
    await _seen(s)
    again = await _ask(s, JOIN, **joining(s, member, protocols=_wants(topic)))
    await s.ask_other(SYNC, **syncing(s, again))
    await _until_owns(s, topic, _MODERN, new["member_epoch"], 1)
    await s.ask_other(BEAT, **beating(s, member, again["generation_id"]))
    for version in (8, 9):
        for at in (generation, again["generation_id"]):
            await _commit(s, topic, version, generation_id_or_member_epoch=at, member_id=member)
    await _commit(s, topic, 9)
    await _seen(s)


@scenario(HEARTBEAT)
async def a_cooperative_member_lets_go_of_what_it_is_to(s: Session) -> None:
    topic = await s.topic("t", 2)
    old = await _classic(s, topic, 0, 1, named="old")
    member, generation = old["member_id"], old["generation_id"]
    new = await _modern(s, topic)
    await _until_beat(s, "REBALANCE_IN_PROGRESS", member, generation)
    again = await _ask(s, JOIN, **joining(s, member, protocols=_wants(topic, 0, 1)))
    await s.ask_other(SYNC, **syncing(s, again))
    await s.ask_other(BEAT, **beating(s, member, again["generation_id"]))
    # It says that it has let go.
    again = await _ask(s, JOIN, **joining(s, member, protocols=_wants(topic, 0)))
    await s.ask_other(SYNC, **syncing(s, again))
    await s.ask_other(BEAT, **beating(s, member, again["generation_id"]))
    await _until_owns(s, topic, _MODERN, new["member_epoch"], 1)


@scenario(HEARTBEAT)
async def groups_that_cannot_become_consumer_groups(s: Session) -> None:
    topic = await s.topic("t")
    added = assignment(topic.name, 0)[:-4] + b"\0\0\0\1x"
    odd: tuple[tuple[str, Any, Any], ...] = (
        ("connect", b"", b""),
        ("consumer", b"", b""),
        ("consumer", b"\0\0", b""),
        ("consumer", subscription(topic.name), b"nonsense"),
        ("consumer", subscription(topic.name), added),
        ("consumer", subscription(topic.name, user_data=b"x"), b""),
    )
    for number, (kind, metadata, given) in enumerate(odd):
        group = s.name(f"g{number}")
        protocols = [{"name": "custom", "metadata": metadata}]
        joined = await join(s, group_id=group, protocol_type=kind, protocols=protocols)
        mine = {"member_id": joined["member_id"], "assignment": given}
        said = {"group_id": group, "protocol_type": kind, "protocol_name": "custom"}
        await s.call(SYNC, **syncing(s, joined, assignments=[mine], **said))
        answer = await _modern(s, topic, group_id=group)
        s.keep((answer["error_message"] or "").replace(s.mark, ""))
        await s.ask(**_beat(s, _MODERN, 5, group_id=group))
        await s.ask(**_beat(s, _MODERN, -1, group_id=group))


@scenario(HEARTBEAT)
async def what_a_known_assignor_has_added(s: Session) -> None:
    topic = await s.topic("t")
    joined = await join(s, protocols=_wants(topic))
    given = assignment(topic.name, 0)[:-4] + b"\0\0\0\1x"
    mine = {"member_id": joined["member_id"], "assignment": given}
    await s.call(SYNC, **syncing(s, joined, assignments=[mine]))
    await _modern(s, topic)


@scenario(JOIN, 3, 4, only=range(2, 10))
async def classic_members_join_a_consumer_group(s: Session) -> None:
    topic = await s.topic("t", 2)
    new = await _modern(s, topic)
    await _until_owns(s, topic, _MODERN, new["member_epoch"], 0, 1)
    odd: tuple[dict[str, Any], ...] = (
        {"protocol_type": "connect"},
        {"protocol_type": ""},
        {"protocols": []},
        {"session_timeout": 1},
        {"protocols": [{"name": "range", "metadata": b"nonsense"}]},
    )
    for given in odd:
        await _ask(s, JOIN, s.version, **joining(s, "", **{"protocols": _wants(topic), **given}))
        await _ask(
            s, JOIN, s.version, **joining(s, "nobody", **{"protocols": _wants(topic), **given})
        )
    joined = await _ask(s, JOIN, s.version, **joining(s, protocols=_wants(topic)))
    member = joined["member_id"]
    if joined["error_code"] == MEMBER_ID_REQUIRED:
        joined = await _ask(s, JOIN, s.version, **joining(s, member, protocols=_wants(topic)))
    generation = joined["generation_id"]
    for wrong in (
        {"generation_id": generation + 1},
        {"member_id": "nobody"},
        {"member_id": _MODERN},
        {"protocol_name": "roundrobin"},
        {"protocol_type": "connect"},
        {"group_instance_id": "nobody"},
    ):
        await s.ask_other(SYNC, **syncing(s, joined, **wrong))
    await s.ask_other(SYNC, 4, **syncing(s, joined))
    await s.ask_other(SYNC, **syncing(s, joined))
    await _ask(
        s,
        JOIN,
        s.version,
        **joining(s, member, protocols=[{"name": "other", "metadata": subscription("t")}]),
    )
    second = [{"name": "other", "metadata": subscription("t")}]
    await _ask(s, JOIN, s.version, **joining(s, "second", protocols=second))
    await s.ask_other(BEAT, **beating(s, _MODERN, new["member_epoch"]))
    await s.ask_other(BEAT, **beating(s, member, generation + 1))
    await s.ask_other(BEAT, **beating(s, "nobody", generation))
    await s.ask_other(BEAT, **beating(s, member, generation, group_instance_id="nobody"))
    await _seen(s)
    await s.ask_other(LEAVE, **leaving(s, (_MODERN, None)))
    await s.ask_other(LEAVE, **leaving(s, (member, None), ("nobody", None), ("", "nobody")))


@scenario(JOIN, only=range(6, 10))
async def a_member_that_was_never_there(s: Session) -> None:
    topic = await s.topic("t")
    await _modern(s, topic)
    joined = await _ask(s, JOIN, s.version, **joining(s, "nobody", protocols=_wants(topic)))
    await s.ask_other(SYNC, **syncing(s, joined))
    await _ask(
        s, JOIN, s.version, **joining(s, "other", protocols=_wants(topic), group_instance_id="one")
    )


@scenario(HEARTBEAT)
async def static_members_keep_their_place(s: Session) -> None:
    topic = await s.topic("t")
    mine: dict[str, Any] = {"group_instance_id": "one"}
    old = await _classic(s, topic, 0, named="old", **mine)
    new = await _modern(s, topic, instance_id="one")
    await _until_owns(s, topic, _MODERN, new["member_epoch"], 0, instance_id="one")
    await s.ask_other(BEAT, **beating(s, old["member_id"], old["generation_id"], **mine))
    await s.ask_other(BEAT, **beating(s, old["member_id"], old["generation_id"]))
    await s.ask_other(SYNC, **syncing(s, old, **mine))
    await _ask(s, JOIN, **joining(s, old["member_id"], protocols=_wants(topic), **mine))
    await s.ask_other(LEAVE, **leaving(s, (old["member_id"], "one")))
    await _seen(s)
    await _modern(s, topic, "member-2", instance_id="one")
    # Another one comes, so that the group stays what it is.
    await _modern(s, topic, "member-3")
    back = await s.call(JOIN, **joining(s, protocols=_wants(topic), **mine))
    s.names.call(back["member_id"], "back")
    s.keep(back["error_code"])
    await s.ask(**_beat(s, _MODERN, new["member_epoch"], instance_id="one"))
    await s.ask_other(SYNC, **syncing(s, back, **mine))
    await _seen(s)
    await s.ask_other(LEAVE, **leaving(s, ("", "one")))


@scenario(HEARTBEAT)
async def a_static_member_of_a_consumer_group_is_removed_by_its_instance(s: Session) -> None:
    topic = await s.topic("t")
    await _modern(s, topic, instance_id="one")
    await s.ask_other(LEAVE, **leaving(s, ("", "one")))
    await s.ask_other(LEAVE, **leaving(s, (_MODERN, "one")))


@scenario(HEARTBEAT)
async def the_last_member_of_a_consumer_group_leaves(s: Session) -> None:
    topic = await s.topic("t", 2)
    new = await _modern(s, topic)
    await _until_owns(s, topic, _MODERN, new["member_epoch"], 0, 1)
    old = await join(s, named="old", protocols=_wants(topic))
    await s.ask_other(SYNC, **syncing(s, old))
    await s.ask(**_beat(s, _MODERN, -1))
    member, generation = old["member_id"], old["generation_id"]
    await s.ask_other(DESCRIBE, groups=[s.name("g")])
    await s.ask_other(BEAT, **beating(s, member, generation))
    await _commit(s, topic, 8, generation_id_or_member_epoch=generation, member_id=member)
    await s.ask_other(SYNC, **syncing(s, old))
    await _ask(s, JOIN, **joining(s, member, protocols=_wants(topic)))
    await s.ask_other(DESCRIBE, groups=[s.name("g")])
    await s.ask_other(LEAVE, **leaving(s, (member, None)))


@scenario(HEARTBEAT)
async def a_group_goes_and_comes_back(s: Session) -> None:
    topic = await s.topic("t")
    old = await _classic(s, topic, 0, named="old")
    await _modern(s, topic)
    await s.ask(**_beat(s, _MODERN, -1))
    member, generation = old["member_id"], old["generation_id"]
    await s.ask_other(BEAT, **beating(s, member, generation))
    again = await _ask(s, JOIN, **joining(s, member, protocols=_wants(topic)))
    s.keep(again["generation_id"] > generation)
