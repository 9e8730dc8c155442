"""ConsumerGroupHeartbeat (68)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Answer, Session

API = 68


async def _beat(s: Session, member: str = "member-1", epoch: int = 0, **given: Any) -> Answer:
    joining = {"rebalance_timeout": 60_000, "topic_partitions": []} if epoch == 0 else {}
    values = {"group_id": s.name("g"), "member_id": member, "member_epoch": epoch}
    return await s.ask(**{**values, **joining, **given})


async def _join(s: Session, member: str = "member-1", **given: Any) -> Answer:
    """Join, until there is something to own: Kafka may make an assignment after its answer."""
    values = {"group_id": s.name("g"), "member_id": member, "member_epoch": 0}
    joining = {"rebalance_timeout": 60_000, "topic_partitions": []}
    return await s.ask_until(_owns, API, s.version, **{**values, **joining, **given})


def _owns(answer: Answer) -> bool:
    return answer["error_code"] != "NONE" or bool(answer["assignment"]["topic_partitions"])


@scenario(API)
async def a_life(s: Session) -> None:
    topic = await s.topic("t", 2)
    joined = await _join(s, subscribed_topic_names=[topic.name])
    owned = joined["assignment"]["topic_partitions"]
    epoch = joined["member_epoch"]
    await _beat(s, epoch=epoch)
    await _beat(s, epoch=epoch, topic_partitions=owned)
    await _beat(s, epoch=epoch)
    names: dict[str, Any] = {"subscribed_topic_names": [topic.name]}
    await _beat(s, epoch=epoch, **names, rebalance_timeout=60_000)
    await _beat(s, epoch=epoch, **names, rebalance_timeout=60_000, topic_partitions=owned)
    await _beat(s, epoch=epoch, **names, topic_partitions=owned)
    await _beat(s, epoch=epoch, rebalance_timeout=0)
    await _beat(s, epoch=epoch - 1)
    await _beat(s, epoch=epoch + 1)
    await _beat(s, epoch=-1)
    await _beat(s, epoch=epoch)


@scenario(API)
async def members_share(s: Session) -> None:
    topic = await s.topic("t", 4)
    first = await _join(s, "member-1", subscribed_topic_names=[topic.name])
    epoch = first["member_epoch"]
    await _beat(s, "member-1", epoch, topic_partitions=first["assignment"]["topic_partitions"])
    second = await _beat(s, "member-2", subscribed_topic_names=[topic.name])
    told = await s.ask_until(
        lambda one: one["assignment"] is not None,
        API,
        s.version,
        group_id=s.name("g"),
        member_id="member-1",
        member_epoch=epoch,
    )
    kept = told["assignment"]["topic_partitions"]
    released = await _beat(s, "member-1", epoch, topic_partitions=kept)
    await _beat(s, "member-2", second["member_epoch"], topic_partitions=[])
    await _beat(s, "member-1", released["member_epoch"])
    await _beat(s, "member-1", -1)


@scenario(API)
async def an_answer_that_was_lost(s: Session) -> None:
    topic = await s.topic("t", 4)
    first = await _join(s, "member-1", subscribed_topic_names=[topic.name])
    epoch = first["member_epoch"]
    await _beat(s, "member-1", epoch, topic_partitions=first["assignment"]["topic_partitions"])
    await _beat(s, "member-2", subscribed_topic_names=[topic.name])
    told = await s.ask_until(
        lambda one: one["assignment"] is not None,
        API,
        s.version,
        group_id=s.name("g"),
        member_id="member-1",
        member_epoch=epoch,
    )
    # The same once more, as librdkafka asks when that answer came too late for it.
    await _beat(s, "member-1", epoch)
    kept = told["assignment"]["topic_partitions"]
    await _beat(s, "member-1", epoch, topic_partitions=kept)


@scenario(API)
async def bad_requests(s: Session) -> None:
    topic = await s.topic("t")
    names: dict[str, Any] = {"subscribed_topic_names": [topic.name]}
    await _beat(s, **names, group_id="")
    await _beat(s, "", **names)
    await _beat(s, "", 1)
    await _beat(s, epoch=-3)
    await _beat(s, epoch=-100)
    await _beat(s, **names, rebalance_timeout=-1)
    await _beat(s, **names, topic_partitions=None)
    await _beat(s, subscribed_topic_names=None)
    await _beat(s, **names, topic_partitions=[{"topic_id": topic.id, "partitions": [0]}])
    await _beat(s, **names, instance_id="")
    await _beat(s, **names, rack_id="")
    await _beat(s, **names, server_assignor="nobody")
    await _beat(s, **names, server_assignor="")
    await _beat(s, epoch=5)
    await _beat(s, epoch=-1)
    await _beat(s, epoch=-2)
    await _beat(s, **names, server_assignor="range")
    await _beat(s, epoch=1, topic_partitions=[{"topic_id": topic.id, "partitions": [9]}])
    await _beat(s, "nobody", 1)
    await _beat(s, "nobody", -1)
    await _beat(s, "x" * 100, subscribed_topic_names=[])
    await _beat(s, "m3", subscribed_topic_names=["a b", "", s.name("missing")])


@scenario(API)
async def a_rebalance_timeout_of_nothing(s: Session) -> None:
    topic = await s.topic("t")
    names: dict[str, Any] = {"subscribed_topic_names": [topic.name]}
    await _beat(s, **names, rebalance_timeout=-2)
    joined = await _join(s, **names, rebalance_timeout=0)
    await _beat(s, epoch=joined["member_epoch"])


@scenario(API)
async def a_member_that_keeps_what_it_has(s: Session) -> None:
    topic = await s.topic("t", 2)
    await s.topic("u")
    first = await _join(s, "member-1", subscribed_topic_names=[topic.name])
    owned = first["assignment"]["topic_partitions"]
    epoch = first["member_epoch"]
    await _beat(s, "member-1", epoch, topic_partitions=owned)
    await _join(s, "member-2", subscribed_topic_names=[s.name("u")])
    # Another epoch, and nothing else that is new.
    told = await s.call_until(
        lambda one: one["member_epoch"] != epoch,
        API,
        s.version,
        group_id=s.name("g"),
        member_id="member-1",
        member_epoch=epoch,
    )
    s.keep([told["error_code"], told["assignment"]])


@scenario(API, only=range(1, 2))
async def patterns(s: Session) -> None:
    await s.topic("ta")
    for number, pattern in enumerate(("(", "[", "t.*+", "", "a{2,1}", "\\")):
        await _beat(s, f"m{number}", subscribed_topic_regex=pattern)
    await _beat(s, "m9", subscribed_topic_regex="(?:", subscribed_topic_names=[])


@scenario(API)
async def static_members(s: Session) -> None:
    topic = await s.topic("t")
    names: dict[str, Any] = {"subscribed_topic_names": [topic.name]}
    joined = await _join(s, "member-1", **names, instance_id="one")
    epoch = joined["member_epoch"]
    await _beat(s, "member-2", **names, instance_id="one")
    for wrong in (epoch, epoch + 7, -1, -2):
        await _beat(s, "member-1", wrong, instance_id="two")
        await _beat(s, "nobody", wrong, instance_id="one")
    await _beat(s, "member-1", -2)
    await _beat(s, "member-1", epoch)
    await _beat(s, "member-1", epoch, instance_id="one")
    await _beat(s, "member-1", -2, instance_id="one")
    await _beat(s, "member-2", **names, instance_id="one")
    await _beat(s, "member-1", epoch, instance_id="one")
    await _beat(s, "member-1", -1, instance_id="one")
    await _beat(s, "member-2", -1, instance_id="one")
    await _beat(s, "member-3", -2, instance_id="three")
