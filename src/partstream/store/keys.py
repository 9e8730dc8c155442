"""Every Redis key and channel that partstream uses, and what each holds.

`{tag}` is a hash tag of Redis Cluster: keys with the same tag are in the same slot, and one script
may touch them together. `ns` is the namespace; two namespaces never meet.

| key | type | content |
|---|---|---|
| `ns:{meta}:layout` | string | the layout version of the namespace |
| `ns:{meta}:topics` | hash | topic name -> JSON: id, partitions, config, defaults, version |
| `ns:{meta}:pending` | hash | topic id -> JSON: partitions that are being made or unmade |
| `ns:{meta}:groups` | hash | group id -> group type |
| `ns:{meta}:configured` | hash | ids of groups for which configs are set -> nothing |
| `ns:{meta}:producer-id` | string | the last producer id given out |
| `ns:{meta}:sweep` | string | who sweeps retention, with a time to live |
| `ns:{meta}:bell` | channel | rings when a topic is made, changed or deleted |
| `ns:{tag}:TOPIC:ID:P:log` | stream | one entry a batch, `<end offset>-<leader epoch>` |
| `ns:{tag}:TOPIC:ID:P:state` | hash | topic id, end, start, epoch, token, bytes, configs |
| `ns:{tag}:TOPIC:ID:P:index` | zset | a row a segment: largest timestamp -> end, bytes, ... |
| `ns:{tag}:TOPIC:ID:P:producers` | hash | producer id -> epoch and last five batches |
| `ns:{tag}:TOPIC:ID:P:transactions` | zset | open and aborted transactions; a placeholder so far |
| `ns:{tag}:TOPIC:ID:P:clean0` | stream | compacted topics: what is before `log`, cleaned |
| `ns:{tag}:TOPIC:ID:P:clean1` | stream | the same: they take turns, by the number of cleanings |
| `ns:{tag}:TOPIC:ID:P:bell` | channel | rings when a batch is appended and somebody listens |
| `ns:{g:GROUP}:group` | hash | group epoch, target epoch, dirty since, claim, configs |
| `ns:{g:GROUP}:subscriptions` | hash | member -> JSON |
| `ns:{g:GROUP}:current` | hash | member -> its applied row |
| `ns:{g:GROUP}:target` | hash | member -> its target assignment |
| `ns:{g:GROUP}:owner` | hash | partition -> member |
| `ns:{g:GROUP}:want` | hash | partition -> a member waiting for it |
| `ns:{g:GROUP}:deadlines` | zset | member -> when its session ends, ms |
| `ns:{g:GROUP}:offsets` | hash | partition -> offset, leader epoch, metadata, time |
| `ns:{g:GROUP}:bell:MEMBER` | channel | rings when that member has something to do |
| `ns:{tag}:barrier` | string | the write that WAIT waits for, one a node and namespace |
| `ns:{tag}{ID}:barrier` | string | the same on a node whose first slot is on its way; soon gone |
| `ns:{tag}:probe` | any, channel | what `doctor` tries commands and doorbells on; soon gone |
| `ns:{meta}:imports` | hash | topic id and source -> the last entry imported from a plain stream |
| `ns:{meta}:gateways` | hash | node id -> when it was last heard of, instance, address, rack |
| `ns:{meta}:gateways:bell` | channel | rings when a gateway comes or goes |

`tag` is a string of four characters whose slot was chosen for the partition (see `slots`).
"""

from __future__ import annotations

from dataclasses import dataclass

from partstream.store.slots import partition_tag, tag_of


@dataclass(frozen=True, slots=True)
class PartitionKeys:
    """The keys of one partition, all in one slot."""

    log: str
    state: str
    index: str
    producers: str
    transactions: str
    clean: tuple[str, str]
    """There once the topic was compacted, and then for as long as the partition is."""
    bell: str
    """A shard channel, not a key."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every key of every partition, in the order in which scripts declare them."""
        return (self.log, self.state, self.index, self.producers, self.transactions)

    def cleaned(self, cleanings: int) -> str:
        """The stream that holds the cleaned part of a log that was cleaned so often."""
        return self.clean[cleanings % 2]

    def spare(self, cleanings: int) -> str:
        """The other one, which the next cleaner writes to."""
        return self.clean[(cleanings + 1) % 2]


@dataclass(frozen=True, slots=True)
class GroupKeys:
    """The keys of one group, all in one slot."""

    group: str
    subscriptions: str
    current: str
    target: str
    owner: str
    want: str
    deadlines: str
    offsets: str
    bell_prefix: str
    """Followed by a member id: that member's shard channel."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every key, in the order in which scripts declare them."""
        return (
            self.group,
            self.subscriptions,
            self.current,
            self.target,
            self.owner,
            self.want,
            self.deadlines,
            self.offsets,
        )


@dataclass(frozen=True, slots=True)
class MetaKeys:
    """The keys of a namespace's metadata, all in one slot."""

    layout: str
    topics: str
    pending: str
    groups: str
    configured: str
    producer_id: str
    sweep: str
    imports: str
    gateways: str
    bell: str
    gateways_bell: str


class Keys:
    """Builds every key of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        prefix = f"{namespace}:{{meta}}:"
        self.meta = MetaKeys(
            layout=prefix + "layout",
            topics=prefix + "topics",
            pending=prefix + "pending",
            groups=prefix + "groups",
            configured=prefix + "configured",
            producer_id=prefix + "producer-id",
            sweep=prefix + "sweep",
            imports=prefix + "imports",
            gateways=prefix + "gateways",
            bell=prefix + "bell",
            gateways_bell=prefix + "gateways:bell",
        )

    def partition(self, topic: str, topic_id: str, partition: int) -> PartitionKeys:
        """The keys of a partition; the topic id in them fences a re-created topic."""
        tag = partition_tag(topic, partition)
        prefix = f"{self.namespace}:{{{tag}}}:{topic}:{topic_id}:{partition}:"
        return PartitionKeys(
            log=prefix + "log",
            state=prefix + "state",
            index=prefix + "index",
            producers=prefix + "producers",
            transactions=prefix + "transactions",
            clean=(prefix + "clean0", prefix + "clean1"),
            bell=prefix + "bell",
        )

    def group(self, group_id: str) -> GroupKeys:
        """The keys of a group. A `}` in its id would end the hash tag early, so it is escaped."""
        tag = group_id.replace("%", "%25").replace("}", "%7D")
        prefix = f"{self.namespace}:{{g:{tag}}}:"
        return GroupKeys(
            group=prefix + "group",
            subscriptions=prefix + "subscriptions",
            current=prefix + "current",
            target=prefix + "target",
            owner=prefix + "owner",
            want=prefix + "want",
            deadlines=prefix + "deadlines",
            offsets=prefix + "offsets",
            bell_prefix=prefix + "bell:",
        )

    def barrier(self, slot: int, own: str = "") -> str:
        """The key that the replica barrier writes on the node that holds `slot`.

        Args:
            own: makes it a key that nobody else writes.
        """
        return f"{self.namespace}:{{{tag_of(slot)}}}{f'{{{own}}}' if own else ''}:barrier"

    def probe(self, slot: int) -> str:
        """The key, and the channel, that `doctor` tries things on, on the node of `slot`."""
        return f"{self.namespace}:{{{tag_of(slot)}}}:probe"
