"""What the admin of kafka-python does, old or new."""

from __future__ import annotations

import re
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import admin as api  # the old one lacks some of it
from kafka.admin import NewPartitions, NewTopic
from kafka.errors import NoError, for_code
from kafka.version import __version__

from tests.foreign.python.lines import Ask, Refused

OLD = __version__.startswith("2.0")


def where(ask: Ask) -> TopicPartition:
    """The partition that a line speaks of."""
    return TopicPartition(ask["topic"], ask["partition"])


def committable(offset: int) -> OffsetAndMetadata:
    """An offset to commit; older versions know no epoch."""
    return OffsetAndMetadata(offset, "") if OLD else OffsetAndMetadata(offset, "", -1)


def settings(ask: Ask) -> Ask:
    """What every part of the client is given."""
    return {"bootstrap_servers": ask["bootstrap"], "request_timeout_ms": 30_000}


class Administration:
    """A method for each call."""

    def create_topic(self, ask: Ask) -> None:
        """A new topic."""
        topic = NewTopic(ask["topic"], ask["partitions"], 1, topic_configs=ask["configs"])
        _with_admin(ask, lambda admin: admin.create_topics([topic]))

    def topic(self, ask: Ask) -> Ask:
        """Its partitions and their leaders."""
        told = _with_admin(ask, lambda admin: admin.describe_topics())
        named = "topic" if OLD else "name"
        found = [one for one in told if one[named] == ask["topic"]]
        if not found:
            raise Refused("UnknownTopicOrPartitionError")
        partitions = found[0]["partitions"]
        leader = "leader" if OLD else "leader_id"
        return {"partitions": len(partitions), "leaders": [one[leader] for one in partitions]}

    def delete_topic(self, ask: Ask) -> None:
        """Its end."""
        _with_admin(ask, lambda admin: admin.delete_topics([ask["topic"]]))

    def grow(self, ask: Ask) -> None:
        """More partitions."""
        wanted = {ask["topic"]: NewPartitions(ask["partitions"])}
        _with_admin(ask, lambda admin: admin.create_partitions(wanted))

    def configs(self, ask: Ask) -> Ask:
        """The topic's configs."""
        resource = api.ConfigResource("topic", ask["topic"])
        if OLD:
            (told,) = _with_admin(ask, lambda admin: admin.describe_configs([resource]))
            ((_, _, _, _, rows),) = told.resources
            return {"configs": {row[0]: row[1] for row in rows}}
        told = _with_admin(
            ask, lambda admin: admin.describe_configs([resource], config_filter="all")
        )
        rows = told["topic"][ask["topic"]].items()
        return {"configs": {name: row["value"] for name, row in rows}}

    def set_config(self, ask: Ask) -> None:
        """Set one config; the old client has but the old call, which resets all others."""
        resource = api.ConfigResource("topic", ask["topic"], {ask["name"]: ask["value"]})
        told = _with_admin(ask, lambda admin: admin.alter_configs([resource]))
        if OLD:
            ((code, *_),) = told.resources
            _raise(for_code(code))
        else:
            _raise(told["topic"][ask["topic"]])

    def unset_config(self, ask: Ask) -> None:
        """Back to the default."""
        resource = api.ConfigResource("topic", ask["topic"], [ask["name"]])
        told = _with_admin(ask, lambda admin: admin.reset_configs([resource]))
        _raise(told["topic"][ask["topic"]])

    def delete_records(self, ask: Ask) -> None:
        """Drop what stands before an offset."""
        _with_admin(ask, lambda admin: admin.delete_records({where(ask): ask["before"]}))

    def offset_of(self, ask: Ask) -> Ask:
        """The offset and the timestamp that a specification finds."""
        named = {spec.name.lower(): spec for spec in api.OffsetSpec}
        spec = named.get(ask["spec"], ask.get("time"))
        told = _with_admin(ask, lambda admin: admin.list_partition_offsets({where(ask): spec}))
        found = told[where(ask)]
        return {"offset": found.offset, "timestamp": found.timestamp}

    def groups(self, ask: Ask) -> Ask:
        """All groups, or those of certain types and in certain states."""
        if OLD:
            told = _with_admin(ask, lambda admin: admin.list_consumer_groups())
            return {"groups": [name for name, _ in told]}
        wanted = {"types_filter": ask.get("types"), "states_filter": ask.get("states")}
        told = _with_admin(ask, lambda admin: admin.list_groups(**wanted))
        return {"groups": [one["group_id"] for one in told]}

    def group(self, ask: Ask) -> Ask:
        """One group."""
        if OLD:
            (found,) = _with_admin(
                ask, lambda admin: admin.describe_consumer_groups([ask["group"]])
            )
            counts = [len(member.member_assignment.assignment) for member in found.members]
            return {"state": found.state, "members": counts, "assignor": found.protocol}
        told = _with_admin(ask, lambda admin: admin.describe_groups([ask["group"]]))[ask["group"]]
        counts = [
            sum(len(row["partitions"]) for row in one["member_assignment"]["assigned_partitions"])
            for one in told["members"]
        ]
        return {
            "state": told["group_state"],
            "members": counts,
            "assignor": told["protocol_data"],
        }

    def delete_group(self, ask: Ask) -> None:
        """Its end."""
        if OLD:
            told = _with_admin(ask, lambda admin: admin.delete_consumer_groups([ask["group"]]))
        else:
            told = _with_admin(ask, lambda admin: admin.delete_groups([ask["group"]])).items()
        ((_, error),) = told
        _raise(error)

    def committed(self, ask: Ask) -> Ask:
        """What the group has committed."""
        consumer = KafkaConsumer(**settings(ask), group_id=ask["group"])
        offset = consumer.committed(where(ask))
        consumer.close()
        return {"offset": offset}

    def committed_by(self, ask: Ask) -> Ask:
        """What several groups have committed."""
        wanted = {group: [where(ask)] for group in ask["groups"]}
        told = _with_admin(ask, lambda admin: admin.list_group_offsets(wanted))
        return {"offsets": {group: found[where(ask)].offset for group, found in told.items()}}

    def delete_committed(self, ask: Ask) -> None:
        """Let a group forget what it has committed."""
        told = _with_admin(
            ask, lambda admin: admin.delete_group_offsets(ask["group"], [where(ask)])
        )
        _raise(told[where(ask)])

    def remove_member(self, ask: Ask) -> None:
        """Put a static member out of its group."""
        member = api.MemberToRemove(group_instance_id=ask["instance"])
        told = _with_admin(ask, lambda admin: admin.remove_group_members(ask["group"], [member]))
        ((_, error),) = told.items()
        _raise(error)

    def set_committed(self, ask: Ask) -> None:
        """Commit for a group."""
        consumer = KafkaConsumer(**settings(ask), group_id=ask["group"], enable_auto_commit=False)
        consumer.assign([where(ask)])
        consumer.commit({where(ask): committable(ask["offset"])})
        consumer.close()

    def nodes(self, ask: Ask) -> Ask:
        """How many brokers there are."""
        return {"count": len(_with_admin(ask, lambda admin: admin.describe_cluster())["brokers"])}

    def elect(self, ask: Ask) -> Ask:
        """What becomes of an election, by its type."""

        def found(kind: int) -> str | None:
            wanted = {ask["topic"]: [ask["partition"]]}
            told = _with_admin(ask, lambda admin: admin.elect_leaders(kind, wanted))
            (partition,) = told.replica_election_results[0].partition_result
            error = for_code(partition.error_code)
            return None if error is NoError else error.__name__

        return {"PREFERRED": found(0), "UNCLEAN": found(1)}

    def reassignments(self, ask: Ask) -> Ask:
        """How many partitions move."""
        return {"count": len(_with_admin(ask, lambda admin: admin.list_partition_reassignments()))}

    def log_dirs(self, ask: Ask) -> Ask:
        """How large the partitions of a topic are."""
        told = _with_admin(ask, lambda admin: admin.describe_log_dirs([ask["topic"]]))
        rows = [
            row
            for broker in told
            for folder in broker["log_dirs"]
            for topic in folder["topics"]
            for row in topic["partitions"]
        ]
        return {"sizes": {str(row["partition_index"]): row["partition_size"] for row in rows}}

    def producers(self, ask: Ask) -> Ask:
        """The idempotent producers that a partition remembers."""
        told = _with_admin(ask, lambda admin: admin.describe_producers([where(ask)]))
        rows = told[where(ask)].active_producers
        found = [(one.producer_id, one.producer_epoch, one.last_sequence) for one in rows]
        return {"producers": found}


def _with_admin(ask: Ask, call: Any) -> Any:
    admin = KafkaAdminClient(**settings(ask))
    try:
        return call(admin)
    finally:
        admin.close()


def _raise(error: Any) -> None:
    """Raise an error that the client only tells, as a class or in words."""
    if error in (NoError, "OK"):
        return
    if isinstance(error, str):
        (name,) = re.findall(r"\w+Error", error)[:1] or [error]
        raise Refused(name)
    raise Refused(error.__name__)
