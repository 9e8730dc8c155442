"""Where the gateway answers otherwise than Kafka on purpose, and why. All else must be equal.

`python -m tests.differential.differences docs/gateway/differences.md` writes the page of the
documentation that lists them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.differential.compare import ABSENT, Found


@dataclass(frozen=True, slots=True)
class Difference:
    """One deliberate difference."""

    scenarios: str
    """Which it may be seen in: a pattern for `module/scenario`."""
    field: str
    """A pattern for the path into the answers, or the name of a field."""
    allows: Callable[[Any, Any], bool]
    """Given Kafka's value and ours: whether this is the difference that is meant."""
    what: str
    """For the documentation: what is different, and why."""

    def explains(self, scenario: str, found: Found) -> bool:
        """Whether this is what was found."""
        return (
            fnmatchcase(scenario, self.scenarios)
            and (self.field == found.field or fnmatchcase(found.path, self.field))
            and self.allows(found.kafka, found.ours)
        )


def _absent_there(kafka: Any, ours: Any) -> bool:
    return bool(kafka == ABSENT)


def _absent_here(kafka: Any, ours: Any) -> bool:
    return bool(ours == ABSENT)


def _accepted(kafka: Any, ours: Any) -> bool:
    """Kafka refuses, the gateway does not: what an answer holds then is another matter."""
    return bool(ours != kafka)


_PARTITIONER = (
    "A topic has one config more than in Kafka, `partstream.partitioner`: the hash that all "
    "producers of the library agree on. It cannot be changed."
)

_SOONER = (
    "While partitions change hands, members are told to send their next heartbeat sooner than "
    "`group.consumer.heartbeat.interval.ms`."
)

_NO_CLUSTER_CONFIGS = (
    "`min.insync.replicas` of a topic has the source DEFAULT_CONFIG if it was not set. Kafka "
    "keeps its default as a config of the cluster (DYNAMIC_DEFAULT_BROKER_CONFIG); here no "
    "configs are kept for the cluster."
)

_NAMELESS = (
    "A group has a name: the empty one, which Kafka still takes for commits, is refused "
    "(INVALID_GROUP_ID)."
)

_OTHER_DEFAULTS = (
    "Some configs of a gateway have another default than Kafka's: see "
    "[Configuration of the gateway](configuration.md)."
)

_NO_INTERVAL = (
    "A group is assigned anew as soon as there is reason to: by default "
    "`group.consumer.assignment.interval.ms` is 0, and with it that of each group."
)

_OLD_EPOCHS = (
    "A client whose leader epoch is old is refused (FENCED_LEADER_EPOCH) by Fetch alone: a leader "
    "is advice, and what any gateway answers of offsets is true. Kafka refuses it everywhere."
)

_NO_TRANSACTIONS = (
    "There are no transactions yet. Whoever looks for their coordinator, or asks for a producer id "
    "with a `transactional.id`, is refused at once: TRANSACTIONAL_ID_AUTHORIZATION_FAILED, the one "
    "error after which no client tries again. A Produce with a `transactional.id` is refused as "
    "well (INVALID_TXN_STATE), even if its batches are ordinary ones, which Kafka takes."
)

_TIMEOUTS = (
    "Topics are created, grown and deleted while the client waits, whatever timeout its request "
    "gives. Kafka answers REQUEST_TIMED_OUT, and does nothing, if that is 0 or less."
)

_NO_LOGGERS = "A gateway's loggers cannot be set by clients: there are no configs of BROKER_LOGGER."

_NO_CLIENT_METRICS = (
    "Clients' metrics (KIP-714) are not collected, and so there are no configs of CLIENT_METRICS "
    "(INVALID_REQUEST)."
)

DELIBERATE: tuple[Difference, ...] = (
    Difference(
        "metadata/a_topic_that_is_not_there",
        "*.topics.0.*",
        _accepted,
        "A topic that is created on first use is there at once. Kafka's first answer is "
        "UNKNOWN_TOPIC_OR_PARTITION, and clients ask again.",
    ),
    Difference(
        "create_topics/more_replicas_than_brokers",
        "0.topics.0.*",
        _accepted,
        "Any replication factor from 1 on is taken, as applications ask for the one that they "
        "would have on Kafka. How many copies of a record there are is a matter of Redis's own "
        "replicas and of `min.insync.replicas`; Kafka refuses more replicas than there are "
        "brokers.",
    ),
    Difference(
        "create_topics/what_a_topic_gets",
        "0.partstream.partitioner",
        _absent_there,
        _PARTITIONER,
    ),
    Difference(
        "create_topics/what_a_topic_gets",
        "0.min.insync.replicas.config_source",
        lambda kafka, ours: (kafka, ours) == (3, 5),
        _NO_CLUSTER_CONFIGS,
    ),
    Difference(
        "create_topics/too_many_partitions",
        "2.topics.0.*",
        _accepted,
        "A topic has up to 16,384 partitions, which may all be made by one CreateTopics. Kafka "
        "makes fewer than 10,000 in one request; it refuses more by the same error "
        "(POLICY_VIOLATION).",
    ),
    Difference(
        "create_topics/a_config_of_kafkas_own_tests",
        "0.topics.0.*",
        lambda kafka, ours: ours in ("INVALID_CONFIG", "...", None, -1, False),
        "`internal.segment.bytes`, a topic config that Kafka has for its own tests, is refused "
        "(INVALID_CONFIG).",
    ),
    Difference("create_topics/no_time", "?.topics.0.*", _accepted, _TIMEOUTS),
    Difference("create_partitions/no_time", "0.results.0.*", _accepted, _TIMEOUTS),
    Difference("delete_topics/no_time", "0.responses.0.*", _accepted, _TIMEOUTS),
    Difference(
        "internal_topics/asked_for",
        "0.topics.0.*",
        lambda kafka, ours: ours in ("UNKNOWN_TOPIC_OR_PARTITION", False, None),
        "There are no internal topics: what Kafka keeps in `__consumer_offsets`, "
        "`__transaction_state` and `__share_group_state` is in Redis in another form. Their names "
        "are taken all the same: no such topic is created or written to.",
    ),
    Difference("find_coordinator/of_transactions", "0.*", _accepted, _NO_TRANSACTIONS),
    Difference("init_producer_id/transactions", "0.*", _accepted, _NO_TRANSACTIONS),
    Difference("produce/transactional_ids", "0.responses.0.*", _accepted, _NO_TRANSACTIONS),
    Difference("produce/transactional_batches", "0.responses.0.*", _accepted, _NO_TRANSACTIONS),
    Difference(
        "find_coordinator/of_share_groups",
        "error_message",
        lambda kafka, ours: (kafka, ours) == ("", "..."),
        "There are no share groups (KIP-932) yet: whoever looks for their coordinator is told so, "
        "with Kafka's error for a key that is none (INVALID_REQUEST).",
    ),
    Difference(
        "fetch/sessions",
        "session_id",
        lambda kafka, ours: (kafka, ours) == ("SESSION", 0),
        "There are no fetch sessions: every answer has session id 0, which is Kafka's own way to "
        "say so (KIP-227), and clients send full requests.",
    ),
    Difference(
        "produce/compression",
        "[56].responses.0.*",
        lambda kafka, ours: ours == "UNSUPPORTED_COMPRESSION_TYPE" or (kafka, ours) == (0, -1),
        "A batch whose compression nobody knows is refused by that name "
        "(UNSUPPORTED_COMPRESSION_TYPE). Kafka answers UNKNOWN_SERVER_ERROR.",
    ),
    Difference(
        "produce/records_that_are_none",
        "*",
        _accepted,
        "What is inside a batch is not looked at: its header and its CRC-32C are checked, as any "
        "client that reads it does. Kafka unpacks what it is sent, and refuses records that are "
        "none (INVALID_RECORD).",
    ),
    Difference(
        "produce/a_partition_twice",
        "10.responses.0.partition_responses.0.*",
        lambda kafka, ours: kafka in ("INVALID_RECORD", -1),
        "Of a partition that is in a Produce request twice, the last batch counts, and the answer "
        "speaks of that one. Kafka appends it too, but says that it is refused if the other was.",
    ),
    Difference(
        "produce/too_few_replicas",
        "*.responses.0.*",
        _accepted,
        "`min.insync.replicas` counts the servers of Redis that must hold a record, whatever "
        "replication factor a topic was created with. Kafka takes the smaller of the two.",
    ),
    Difference(
        "describe_log_dirs/*",
        "*_bytes",
        lambda kafka, ours: kafka is True and ours is False,
        "How large the disk is, and how much of it is free (DescribeLogDirs 4 and later), is -1: "
        "not known. A gateway has no disk; the bytes of each partition are those that Redis holds.",
    ),
    Difference(
        "describe_topic_partitions/what_is_refused",
        "2.topics.0.*",
        _accepted,
        "DescribeTopicPartitions of a topic whose name is empty is answered with "
        "INVALID_TOPIC_EXCEPTION; Kafka fails (UNKNOWN_SERVER_ERROR).",
    ),
    Difference(
        "list_config_resources/what_has_configs",
        "*.config_resources",
        lambda kafka, ours: [row for row in kafka if row["resource_type"] != 8] == ours,
        _NO_LOGGERS,
    ),
    Difference("loggers/the_root_logger", "?.responses.0.*", _accepted, _NO_LOGGERS),
    Difference("loggers/metrics_of_clients", "[01].responses.0.*", _accepted, _NO_CLIENT_METRICS),
    Difference("loggers/as_a_whole", "1.responses.0.*", _accepted, _NO_CLIENT_METRICS),
    Difference("configs/types_of_configs", "0.partstream.partitioner", _absent_there, _PARTITIONER),
    Difference(
        "configs/types_of_configs",
        "0.min.insync.replicas.*",
        lambda kafka, ours: kafka == 3 or [kafka[0][1], *kafka[1:]] == [3, *ours],
        _NO_CLUSTER_CONFIGS,
    ),
    Difference(
        "configs/types_of_broker_configs",
        "[01].*",
        _absent_here,
        "Configs of brokers that mean nothing here (threads, disks, controllers, replicas) are not "
        "shown. In a file of settings they are ignored, with a warning.",
    ),
    Difference(
        "configs/types_of_broker_configs",
        "[01].*",
        _absent_there,
        "A gateway shows a few configs that Kafka's brokers do not have, such as `workers`.",
    ),
    *(
        Difference("configs/types_of_broker_configs", f"1.{name}.0", _accepted, _OTHER_DEFAULTS)
        for name in (
            *("broker.heartbeat.interval.ms", "broker.session.timeout.ms", "log.retention.bytes"),
            *("default.replication.factor", "log.retention.check.interval.ms", "max.connections"),
            *("log.segment.bytes", "queued.max.request.bytes", "replica.lag.time.max.ms"),
            *("ssl.keystore.type", "ssl.truststore.type", "group.consumer.assignment.interval.ms"),
        )
    ),
    Difference(
        "api_versions/what_is_served",
        "0.*_features",
        lambda kafka, ours: ours == [row for row in kafka if row["name"] == "group.version"],
        "Of Kafka's features only `group.version` is told (KIP-848). Transactions, share groups "
        "and streams groups are not served yet; there is no log of metadata "
        "(`metadata.version`), no KRaft and no election of leaders whose versions could be told.",
    ),
    Difference(
        "group_configs/all_of_a_group",
        "[04].consumer.assignment.interval.ms.*",
        lambda kafka, ours: (kafka, ours) == ("1000", "0"),
        _NO_INTERVAL,
    ),
    Difference(
        "group_configs/configs_of_other_kinds_of_groups",
        "?.responses.0.*",
        lambda kafka, ours: ours in ("INVALID_CONFIG", "..."),
        "There are no share groups and no streams groups yet, and so no configs of them "
        "(`share.*`, `streams.*`): nobody is shown any, and to set one is refused "
        "(INVALID_CONFIG).",
    ),
    *(
        Difference(
            "old_epochs/of_who_fetches",
            f"[12345].{field}",
            lambda kafka, ours: ours in ([], -1),
            "A Fetch that is refused for its leader epoch does not tell of the leader (KIP-951): "
            "any gateway serves the partition, and clients ask for the epoch anyway.",
        )
        for field in ("node_endpoints", "responses.0.partitions.0.current_leader.*")
    ),
    Difference(
        "old_epochs/of_who_asks_for_offsets",
        "[345].topics.0.partitions.0.*",
        _accepted,
        _OLD_EPOCHS,
    ),
    Difference(
        "old_epochs/of_who_asks_for_the_end_of_one",
        "[45].topics.0.partitions.0.*",
        _accepted,
        _OLD_EPOCHS,
    ),
    Difference(
        "fetch/epochs",
        "[56].responses.0.partitions.0.*",
        _accepted,
        "The epoch of the last record that a Fetch says to have got is not looked at: followers "
        "send it, which there are none of, and consumers do not.",
    ),
    Difference(
        "configs/configs_of_a_broker",
        "read_only",
        lambda kafka, ours: ours is True,
        "A gateway's configs are changed where it is started: all of them are read-only, and a "
        "change is refused (INVALID_REQUEST). Kafka changes some while it runs.",
    ),
    Difference(
        "configs/changes_that_are_refused",
        "1[56].responses.0.*",
        lambda kafka, ours: kafka in ("UNKNOWN_SERVER_ERROR", None),
        "An operation of IncrementalAlterConfigs that nobody knows is an INVALID_REQUEST; Kafka "
        "fails (UNKNOWN_SERVER_ERROR).",
    ),
    Difference(
        "consumer_group_heartbeat/members_share",
        "heartbeat_interval",
        lambda kafka, ours: 0 < ours < kafka,
        _SOONER,
    ),
    Difference(
        "consumer_group_heartbeat/an_answer_that_was_lost",
        "heartbeat_interval",
        lambda kafka, ours: 0 < ours < kafka,
        _SOONER,
    ),
    Difference(
        "consumer_group_heartbeat/an_answer_that_was_lost",
        "assignment",
        lambda kafka, ours: kafka is None and bool(ours["topic_partitions"]),
        "A member of a consumer group is told its new assignment with each heartbeat until it says "
        "that it owns it; Kafka tells it once. librdkafka gives up an answer that takes longer "
        "than the heartbeat interval, asks again in the same words, and would not hear of what it "
        "has to give up before its `max.poll.interval.ms` is over.",
    ),
    Difference(
        "bodies/Fetch",
        "4",
        lambda kafka, ours: (kafka, ours) == ("disconnected", "answered"),
        "What followers say of themselves in tagged fields of a Fetch is not looked at; Kafka ends "
        "the connection if it is damaged.",
    ),
    Difference(
        "join_group/what_is_refused",
        "12.groups.0.*",
        lambda kafka, ours: ours in ("GROUP_ID_NOT_FOUND", "Dead", "..."),
        "A JoinGroup that is refused makes no group; Kafka's leaves an empty one behind.",
    ),
    Difference(
        "sync_group/an_assignment_that_is_large",
        "0.*",
        lambda kafka, ours: kafka in ("UNKNOWN_SERVER_ERROR", 0, None),
        "What a classic group's members say and are assigned may be as large as a request. Kafka "
        "has to fit a group into a record of 1 MiB: it answers UNKNOWN_SERVER_ERROR to a larger "
        "assignment, and nothing at all to a JoinGroup with so much metadata.",
    ),
    Difference(
        "offset_commit/a_group_without_a_name",
        "0.*",
        lambda kafka, ours: ours == "INVALID_GROUP_ID",
        _NAMELESS,
    ),
    Difference("offset_fetch/topics_and_groups_that_are_none", "4.*", _accepted, _NAMELESS),
    Difference(
        "offset_commit/members_of_consumer_groups",
        "0.topics.0.partitions.0.error_code",
        lambda kafka, ours: (kafka, ours) == ("UNSUPPORTED_VERSION", "NONE"),
        "A member of a consumer group (KIP-848) may commit by an OffsetCommit before version 9, "
        "too, if its epoch is right.",
    ),
    Difference(
        "migration/groups_that_cannot_become_consumer_groups",
        "error_code",
        lambda kafka, ours: (kafka, ours) == ("GROUP_ID_NOT_FOUND", "UNKNOWN_MEMBER_ID"),
        "A member of a consumer group that was missed, and whose group has become a classic one "
        "meanwhile, is told UNKNOWN_MEMBER_ID, so that it joins again. Kafka tells it "
        "GROUP_ID_NOT_FOUND, at which clients give up.",
    ),
    Difference(
        "migration/groups_that_cannot_become_consumer_groups",
        "1[23]",
        lambda kafka, ours: kafka in ("UNKNOWN_SERVER_ERROR", ""),
        "A classic group whose assignments cannot be read does not become a consumer group "
        "(GROUP_ID_NOT_FOUND, as if what its members want could not be read); Kafka fails "
        "(UNKNOWN_SERVER_ERROR).",
    ),
    Difference(
        "migration/what_a_known_assignor_has_added",
        "0",
        lambda kafka, ours: (kafka, ours) == ("GROUP_ID_NOT_FOUND", "NONE"),
        "A classic group becomes a consumer group also where `range`, `roundrobin`, `sticky` or "
        "`cooperative-sticky` has added data of its own to an assignment, as librdkafka's "
        "`cooperative-sticky` does. Kafka refuses it (GROUP_ID_NOT_FOUND), and both refuse it of "
        "other assignors.",
    ),
    Difference(
        "migration/a_classic_group_becomes_a_consumer_group",
        "1[13].topics.0.partitions.0.error_code",
        lambda kafka, ours: (kafka, ours) == ("NONE", "ILLEGAL_GENERATION"),
        "A member of a consumer group that speaks the classic protocol commits with the generation "
        "that it was told last, and with no other; Kafka also takes an earlier one of a partition "
        "that it has kept since.",
    ),
    *(
        Difference(
            f"migration/{scenario}",
            "error_code",
            lambda kafka, ours: kafka == "ILLEGAL_GENERATION",
            "When a consumer group has become a classic one, its members are still at the "
            "generation that they know: they hear REBALANCE_IN_PROGRESS, may commit, and join "
            "again. Kafka counts on, and tells them ILLEGAL_GENERATION, at which they give up what "
            "they have.",
        )
        for scenario in (
            "the_last_member_of_a_consumer_group_leaves",
            "a_group_goes_and_comes_back",
        )
    ),
    Difference(
        "partitions_and_leaders/producers",
        "*.last_timestamp",
        lambda kafka, ours: ours == "NOW",
        "DescribeProducers tells when a producer's last batch was appended; Kafka tells the "
        "batch's own timestamp.",
    ),
)

OF_LOGS: tuple[str, ...] = (
    "Once a compacted topic was cleaned, ListOffsets for a time tells the first of the records "
    "left that is no older. Kafka often tells that there is none (-1): a segment that was cleaned "
    "of all its records counts by the time of its file, and once it is looked into, no other is.",
    "How young a segment is, for `min.compaction.lag.ms` and `retention.ms`, goes by the largest "
    "timestamp of the log up to its end. Kafka goes by that of the segment. They differ where "
    "records came after younger ones that were deleted or cleaned: here they are cleaned, or go, "
    "when it is time for those, so later, and never too early. To know each segment's own, every "
    "append would have to keep one more number, and a segment's row would change for all clients.",
)
"""Differences that answers alone do not show: see `compaction.py`, and the tests of the engine."""


_INTRO = """# Differences from Kafka

The gateway is compared with Apache Kafka 4.3 answer by answer: each API at its lowest, a middle and
its highest version, with good requests and with bad ones. What differs on purpose is listed here;
anything else that differs is a mistake, and fails the tests. The words of error messages are not
compared, only whether there are some.

"""


def page() -> str:
    """The whole page."""
    said = dict.fromkeys((*(one.what for one in DELIBERATE), *OF_LOGS))
    return _INTRO + "".join(f"- {text}\n" for text in said)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
