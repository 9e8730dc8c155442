"""What a consumer was told to read: topics, a pattern of topics, or partitions; one of these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from partstream.client.arguments import topic_names
from partstream.client.listener import RebalanceListener
from partstream.errors import IllegalState, InvalidRegularExpression
from partstream.groups import patterns


@dataclass(frozen=True, slots=True)
class Subscription:
    """What to read. The methods return what it is after a call, or refuse the call."""

    topics: tuple[str, ...] = ()
    """By name, sorted."""
    pattern: str | None = None
    """A regular expression that matches whole names."""
    by_hand: bool = False
    """Whether partitions are assigned by the user, and not by a group."""
    listener: RebalanceListener | None = None

    @property
    def by_group(self) -> bool:
        """Whether a group assigns the partitions."""
        return bool(self.topics) or self.pattern is not None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return not self.by_group and not self.by_hand

    def to_topics(
        self, topics: Iterable[str] | str, listener: RebalanceListener | None
    ) -> Subscription:
        """Subscribed to topics by name, and to nothing else.

        Raises:
            IllegalState: partitions were assigned by hand.
            InvalidTopic: Kafka would refuse a name, or it is none.
        """
        self._refuse_by_hand()
        return Subscription(topics=tuple(sorted(set(topic_names(topics)))), listener=listener)

    def to_pattern(self, pattern: str, listener: RebalanceListener | None) -> Subscription:
        """Subscribed to the topics that match, now and later.

        Raises:
            IllegalState: partitions were assigned by hand.
            InvalidRegularExpression: it is no pattern, or an empty one.
        """
        self._refuse_by_hand()
        patterns.check(pattern)
        if not pattern:
            raise InvalidRegularExpression("pattern='': it matches no topic")
        return Subscription(pattern=pattern, listener=listener)

    def to_hand(self) -> Subscription:
        """Partitions are assigned by hand.

        Raises:
            IllegalState: there is a subscription.
        """
        if self.by_group:
            raise IllegalState(
                "this consumer is subscribed, its group assigns the partitions: unsubscribe first"
            )
        return replace(self, by_hand=True)

    def _refuse_by_hand(self) -> None:
        if self.by_hand:
            raise IllegalState(
                "partitions were assigned to this consumer with assign(): unsubscribe first"
            )
