"""What the admin of confluent-kafka (librdkafka) does, old or new."""

from __future__ import annotations

from typing import Any

import confluent_kafka
from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    TopicPartition,
    admin,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tests.foreign.python.lines import DEADLINE, Ask, Refused

api: Any = admin
"""For what the old one lacks."""


def where(ask: Ask, *more: Any) -> TopicPartition:
    """The partition that a line speaks of."""
    return TopicPartition(ask["topic"], ask["partition"], *more)


def name_of(error: BaseException) -> str:
    """The name of an error, as librdkafka has it."""
    inner = error.args[0] if error.args else None
    return str(inner.name()) if isinstance(inner, KafkaError) else type(error).__name__


class Administration:
    """A method for each call."""

    def create_topic(self, ask: Ask) -> None:
        """A new topic."""
        topic = NewTopic(ask["topic"], ask["partitions"], 1, config=ask["configs"])
        _admin(ask).create_topics([topic])[ask["topic"]].result(DEADLINE)

    def topic(self, ask: Ask) -> Ask:
        """Its partitions and their leaders."""
        topics = _admin(ask).list_topics(timeout=DEADLINE).topics
        if ask["topic"] not in topics:
            raise Refused("UNKNOWN_TOPIC_OR_PART")
        partitions = topics[ask["topic"]].partitions
        return {"partitions": len(partitions), "leaders": [p.leader for p in partitions.values()]}

    def delete_topic(self, ask: Ask) -> None:
        """Its end."""
        _admin(ask).delete_topics([ask["topic"]])[ask["topic"]].result(DEADLINE)

    def grow(self, ask: Ask) -> None:
        """More partitions."""
        wanted = NewPartitions(ask["topic"], ask["partitions"])
        _admin(ask).create_partitions([wanted])[ask["topic"]].result(DEADLINE)

    def configs(self, ask: Ask) -> Ask:
        """The topic's configs."""
        resource = ConfigResource("topic", ask["topic"])
        (told,) = _admin(ask).describe_configs([resource]).values()
        return {"configs": {name: row.value for name, row in told.result(DEADLINE).items()}}

    def set_config(self, ask: Ask) -> None:
        """Set one config, and by the old call reset all others."""
        resource = ConfigResource("topic", ask["topic"], {ask["name"]: ask["value"]})
        (told,) = _admin(ask).alter_configs([resource]).values()
        told.result(DEADLINE)

    def unset_config(self, ask: Ask) -> None:
        """Back to the default."""
        delete = api.AlterConfigOpType.DELETE
        change = ConfigEntry(ask["name"], None, incremental_operation=delete)
        resource = ConfigResource("topic", ask["topic"], incremental_configs=[change])
        (told,) = _admin(ask).incremental_alter_configs([resource]).values()
        told.result(DEADLINE)

    def delete_records(self, ask: Ask) -> None:
        """Drop what stands before an offset."""
        (told,) = _admin(ask).delete_records([where(ask, ask["before"])]).values()
        told.result(DEADLINE)

    def offset_of(self, ask: Ask) -> Ask:
        """The offset and the timestamp that a specification finds."""
        if "time" in ask:
            spec = api.OffsetSpec.for_timestamp(ask["time"])
        else:
            spec = getattr(api.OffsetSpec, ask["spec"])()
        (told,) = _admin(ask).list_offsets({where(ask): spec}).values()
        found = told.result(DEADLINE)
        return {"offset": found.offset, "timestamp": found.timestamp}

    def groups(self, ask: Ask) -> Ask:
        """All groups, or those of certain types and in certain states."""
        wanted: Ask = {}
        if "states" in ask:
            wanted["states"] = {ConsumerGroupState[one.upper()] for one in ask["states"]}
        if "types" in ask:
            known = confluent_kafka.ConsumerGroupType
            wanted["types"] = {known[one.upper()] for one in ask["types"]}
        told = _admin(ask).list_consumer_groups(**wanted).result(DEADLINE)
        return {"groups": [one.group_id for one in told.valid]}

    def group(self, ask: Ask) -> Ask:
        """One group."""
        (told,) = _admin(ask).describe_consumer_groups([ask["group"]]).values()
        found = told.result(DEADLINE)
        counts = [len(member.assignment.topic_partitions) for member in found.members]
        assignor = found.partition_assignor
        return {"state": found.state.name, "members": counts, "assignor": assignor}

    def delete_group(self, ask: Ask) -> None:
        """Its end."""
        _admin(ask).delete_consumer_groups([ask["group"]])[ask["group"]].result(DEADLINE)

    def committed(self, ask: Ask) -> Ask:
        """What the group has committed."""
        asked = ConsumerGroupTopicPartitions(ask["group"], [where(ask)])
        (told,) = _admin(ask).list_consumer_group_offsets([asked]).values()
        return {"offset": told.result(DEADLINE).topic_partitions[0].offset}

    def set_committed(self, ask: Ask) -> None:
        """Commit for a group."""
        asked = ConsumerGroupTopicPartitions(ask["group"], [where(ask, ask["offset"])])
        (told,) = _admin(ask).alter_consumer_group_offsets([asked]).values()
        told.result(DEADLINE)

    def nodes(self, ask: Ask) -> Ask:
        """How many brokers there are."""
        return {"count": len(_admin(ask).list_topics(timeout=DEADLINE).brokers)}

    def elect(self, ask: Ask) -> Ask:
        """What becomes of an election, by its type."""
        found = {}
        for kind in confluent_kafka.ElectionType:
            told = _admin(ask).elect_leaders(kind, [where(ask)]).result(DEADLINE)
            ((_, error),) = told.items()
            found[kind.name] = None if error is None else error.name()
        return found


_ADMINS: list[tuple[str, AdminClient]] = []
"""The last one: what an admin was asked for is lost as soon as nobody holds it."""


def _admin(ask: Ask) -> AdminClient:
    if not _ADMINS or _ADMINS[0][0] != ask["bootstrap"]:
        admin = AdminClient({"bootstrap.servers": ask["bootstrap"]})
        _ADMINS[:] = [(ask["bootstrap"], admin)]
    return _ADMINS[0][1]
