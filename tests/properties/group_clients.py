"""Members of a group as they see themselves, and the coordinator between them and the scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import strategies as st

from partstream.errors import FencedMemberEpoch
from partstream.groups.consumer import Catalog, Step, plan, reconcile, relevant_fingerprint
from partstream.groups.requests import HeartbeatRequest
from partstream.groups.rows import NOTHING, MemberRow, Partitions
from tests.properties.group_model import Beat, Made, Review, State, View

HOUR_MS = 3_600_000
_MOST_STEPS = 6


class Wants(NamedTuple):
    """What a member subscribes to."""

    topics: tuple[str, ...] = ()
    regex: str | None = None
    assignor: str | None = None

    def fields(self) -> dict[str, Any]:
        return {
            "subscribed_topics": self.topics,
            "subscribed_regex": self.regex,
            "assignor": self.assignor,
        }


WANTS = st.builds(
    Wants,
    st.sampled_from([("t",), ("t", "u"), ("u",), ("t", "gone")]),
    st.none(),
    st.sampled_from([None, None, "range"]),
) | st.builds(
    Wants,
    st.sampled_from([(), ("u",)]),
    st.sampled_from(["t.*", ".*", "[uv]", "v|gone"]),
    st.none(),
)


@dataclass(eq=False)
class Client:
    """A member as it sees itself: one join of it."""

    request: HeartbeatRequest
    incarnation: int = 1
    epoch: int = 0
    """0: it has not come in."""
    seen: int = 0
    owned: Partitions = NOTHING
    ended: bool = False
    """Whether it left by its own will: nobody is there to send anything."""

    @property
    def name(self) -> str:
        return self.request.member_id

    def take(self, row: MemberRow) -> None:
        self.epoch, self.seen, self.owned = row.epoch, row.seq, row.assigned


class Join(NamedTuple):
    """A join on its way."""

    request: HeartbeatRequest
    incarnation: int


class HeldUp(NamedTuple):
    """A step that was computed for a member, and is not applied yet."""

    member: str
    read: MemberRow
    target_epoch: int
    step: Step


class Coordinator:
    """What is done between one script and the next, for a group and the topics that there are."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.topics = {"t": ("T", 3), "u": ("U", 2)}

    @property
    def is_due(self) -> bool:
        """Whether there is an assignment to make."""
        return self.state.epoch != self.state.target_epoch

    def next_work(self) -> Made | Review | None:
        """What heartbeats see to: an assignment is made, topics that changed are noticed."""
        if not self.state.rows:
            return None
        if self.is_due:
            return self.made()
        return self.reviewed() if self.state.seen != self.catalog().fingerprint else None

    def made(self) -> Made:
        state, catalog = self.state, self.catalog()
        made = plan(state.subscriptions, catalog, state.targets)
        return Made(state.epoch, state.target_epoch, made, catalog.fingerprint)

    def reviewed(self) -> Review:
        state, catalog = self.state, self.catalog()
        matters = relevant_fingerprint(state.subscriptions, catalog) != state.topics
        return Review(state.seen, catalog.fingerprint, matters)

    def catalog(self) -> Catalog:
        return Catalog(self.topics)

    def said_by(self, client: Client) -> Beat:
        return Beat(
            client.name,
            client.request.instance_id,
            client.epoch,
            client.owned,
            client.seen,
            self.catalog().fingerprint,
        )

    def heartbeat(self, sent: Beat) -> MemberRow:
        view = self.state.beat(sent)
        row = view.row
        if row.epoch == sent.epoch or view.moved_from is not None:
            return self.advance(view, sent)
        if not sent.owned <= row.assigned | row.revoking:
            raise FencedMemberEpoch
        return row

    def advance(self, view: View, sent: Beat) -> MemberRow:
        """Take all the steps that the member can take now."""
        for _ in range(_MOST_STEPS):
            step = self.step(view, sent)
            if step is None:
                break
            view = self.state.apply(sent.member, view.row, view.target_epoch, step)
        return view.row

    def step(self, view: View, sent: Beat) -> Step | None:
        if view.row.epoch != sent.epoch:
            return None
        believed = sent.owned if view.row.seq == sent.seen else None
        return reconcile(view.row, view.target, view.target_epoch, view.busy, believed)

    def hold_up(self, client: Client) -> list[HeldUp]:
        """It is heard, its next step (if any) is computed, and nothing happens for a while."""
        sent = self.said_by(client)
        view = self.state.beat(sent)
        step = self.step(view, sent)
        if step is None:
            return []
        return [HeldUp(client.name, view.row, view.target_epoch, step)]
