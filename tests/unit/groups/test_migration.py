"""What becomes of a group's members when it changes its protocol."""

from __future__ import annotations

import pytest

from partstream.errors import InconsistentGroupProtocol
from partstream.groups.classic import Group, Member, Phase, digest
from partstream.groups.classic_protocol import (
    Wish,
    assigned_partitions,
    read_assignment,
    read_wish,
    write_assignment,
)
from partstream.groups.consumer import Catalog
from partstream.groups.migration import Policy, Upgrade, downgrade, upgrade
from partstream.groups.mixed import decode_supported, encode_supported, has_to_join, supports
from partstream.groups.rows import (
    NOTHING,
    REVOKING,
    STABLE,
    WAITING,
    MemberRow,
    Partitions,
    Subscription,
)
from partstream.model import TopicPartition
from tests.engine.classic_members import assignment, subscription

CATALOG = Catalog({"t": ("T", 4), "u": ("U", 1)})


def parts(*numbers: int) -> Partitions:
    return frozenset(("T", number) for number in numbers)


def group(*names: str, generation: int = 3, protocol: str | None = "range") -> Group:
    """A classic group with these members."""
    made = Group(Phase.STABLE, generation, "consumer", protocol, names[0])
    for name in names:
        made.members[name] = Member(
            name, f"i-{name}", "client", "/host", 7_000, 9_000, ("range", "other")
        )
    return made


def upgraded(made: Group, wishes: dict[str, bytes], assignments: dict[str, bytes]) -> Upgrade:
    protocols = {name: {"range": wish, "other": wish} for name, wish in wishes.items()}
    return upgrade("g", made, protocols, assignments, CATALOG)


def test_what_a_consumer_wants_is_read_in_every_version() -> None:
    for version in range(4):
        wish = read_wish(subscription("t", "u", version=version, owned=(1, 3), user_data=b"x"))
        owned = (TopicPartition("t", 1), TopicPartition("t", 3)) if version else ()
        assert wish == Wish(version, ("t", "u"), owned)
    # Of a version to come what is known is read.
    newer = read_wish(b"\0\x09" + subscription("t", version=3)[2:] + b"more")
    assert newer == Wish(3, ("t",))


@pytest.mark.parametrize("version", range(4))
def test_what_is_cut_off_says_nothing(version: int) -> None:
    whole = subscription("t", version=version, owned=(1, 2))
    for size in range(len(whole)):
        assert read_wish(whole[:size]) is None
    assert read_wish(b"\xff\xff" + whole[2:]) is None


def test_an_assignment_is_read_as_it_was_written() -> None:
    partitions = (TopicPartition("t", 0), TopicPartition("t", 2), TopicPartition("u", 0))
    data = write_assignment(2, reversed(partitions))
    assert read_assignment(data) == (partitions, b"")
    assert assigned_partitions(data) == partitions
    assert write_assignment(0, [TopicPartition("t", 1)]) == assignment("t", 1)
    assert read_assignment(data[:-4]) == (partitions, b""), "as old assignors write it"
    assert read_assignment(data[:-4] + b"\0\0\0\1x") == (partitions, b"x")
    assert read_assignment(b"nonsense") is None


def test_members_keep_what_they_were_assigned_at_their_generation() -> None:
    wish = subscription("t")
    made = upgraded(
        group("a", "b"),
        {"a": wish, "b": wish},
        {"a": assignment("t", 0, 1), "b": assignment("t", 2, 3)},
    )
    rows = {member.member_id: member.row for member in made.members}
    assert rows == {
        "a": MemberRow(3, 3, 0, 0, STABLE, parts(0, 1)),
        "b": MemberRow(3, 3, 0, 0, STABLE, parts(2, 3)),
    }
    one = made.members[0]
    assert one.subscription == Subscription(
        ("t",), None, None, None, "i-a", 9_000, "client", "/host"
    )
    assert one.session_ms == 7_000
    assert one.supported == (("range", wish), ("other", wish))
    assert made.seen == CATALOG.fingerprint
    assert made.topics == CATALOG.part(["t"])


def test_there_is_an_assignment_to_make_if_a_partition_is_nobodys() -> None:
    made = upgraded(group("a"), {"a": subscription("t")}, {"a": assignment("t", 0, 1, 2)})
    assert (made.topics, made.seen) == ("", "")


def test_nothing_has_two_owners_whatever_clients_say() -> None:
    made = upgraded(
        group("a", "b", "c"),
        {
            "a": subscription("t", version=1, owned=(0, 1, 2)),
            "b": subscription("t", version=1, owned=(1, 3)),
            "c": subscription("t", version=1, owned=(3,)),
        },
        {"a": assignment("t", 0), "b": assignment("t", 0, 1)},
    )
    owned = {member.member_id: member.row.assigned for member in made.members}
    # Assigned first; then what a cooperative member has not let go of yet.
    assert owned == {"a": parts(0, 2), "b": parts(1, 3), "c": NOTHING}


def test_what_a_member_reads_by_a_newer_generation_counts_more() -> None:
    def wish(generation: int) -> bytes:
        return subscription("t", version=2, owned=(1,))[:-4] + generation.to_bytes(4, "big")

    made = upgraded(group("a", "b"), {"a": wish(4), "b": wish(5)}, {})
    assert [member.row.assigned for member in made.members] == [NOTHING, parts(1)]


def test_a_first_rebalance_has_no_protocol_yet() -> None:
    made = upgraded(group("a", generation=0, protocol=None), {"a": subscription("t", "gone")}, {})
    assert made.members[0].row == MemberRow(0, 0, 0, 0, STABLE)
    assert made.members[0].subscription.topics == ("gone", "t")


@pytest.mark.parametrize(
    ("wish", "given", "why"),
    [
        (b"", b"", "malformed"),
        (b"\0", b"", "malformed"),
        (subscription("t"), b"nonsense", "malformed"),
    ],
)
def test_a_group_that_cannot_be_read_stays_classic(wish: bytes, given: bytes, why: str) -> None:
    with pytest.raises(InconsistentGroupProtocol, match=why):
        upgraded(group("a"), {"a": wish}, {"a": given})


def test_what_a_strange_assignor_has_added_is_not_thrown_away() -> None:
    wishes, given = {"a": subscription("t")}, {"a": assignment("t", 0)[:-4] + b"\0\0\0\1x"}
    with pytest.raises(InconsistentGroupProtocol, match="custom assignor"):
        upgraded(group("a", protocol="other"), wishes, given)
    assert upgraded(group("a"), wishes, given).members[0].row.assigned == parts(0)


def test_a_group_of_something_else_stays_classic() -> None:
    made = group("a")
    made.protocol_type = "connect"
    with pytest.raises(InconsistentGroupProtocol, match="embedded protocol"):
        upgraded(made, {"a": subscription("t")}, {})


def downgraded(*names: str, supported: dict[str, tuple[str, ...]] | None = None) -> Group | None:
    rows = {name: MemberRow(5 + at, 0, 9, 0, STABLE) for at, name in enumerate(names)}
    wanted = {name: Subscription(("t",), rebalance_timeout_ms=900) for name in names}
    knows = {
        name: tuple((one, subscription("t", version=1)) for one in (supported or {})[name])
        if supported
        else (("range", subscription("t", version=1)),)
        for name in names
    }
    made = downgrade(rows, wanted, knows, dict.fromkeys(names, 700), CATALOG)
    return None if made is None else made.group


def test_members_are_to_join_again_and_keep_what_they_are() -> None:
    protocols = (("range", subscription("t", version=1)), ("other", b"x"))
    row = MemberRow(5, 4, 9, 0, REVOKING, parts(1), parts(0, 9))
    wanted = Subscription(("t",), None, None, None, "one", 900, "client", "/host")
    made = downgrade({"a": row}, {"a": wanted}, {"a": protocols}, {"a": 700}, CATALOG)
    assert made is not None
    assert made.group.members == {
        "a": Member("a", "one", "client", "/host", 700, 900, ("range", "other"), digest(protocols))
    }
    assert made.group.phase == Phase.PREPARING_REBALANCE
    assert (made.group.generation, made.group.protocol) == (5, "range")
    assert made.group.protocol_type == "consumer"
    assert made.group.deadlines == {"j:": 900}
    assert made.protocols == {"a": protocols}
    told = TopicPartition
    assert read_assignment(made.assignments["a"]) == (
        (told("t", 0), told("t", 1), told("t", 9)),
        b"",
    )
    assert made.assignments["a"][:2] == b"\0\1"


def test_the_generation_is_the_newest_that_a_member_knows() -> None:
    made = downgraded("a", "b", "c")
    assert made is not None
    assert made.generation == 7


def test_members_that_have_no_protocol_in_common_are_no_classic_group() -> None:
    assert downgraded("a", "b", supported={"a": ("range",), "b": ("other",)}) is None
    made = downgraded("a", "b", supported={"a": ("range", "other"), "b": ("other",)})
    assert made is not None
    assert made.protocol == "other"


def test_what_a_member_supports_is_kept() -> None:
    protocols = (("range", b"\0\xff"), ("other", b""))
    assert decode_supported(encode_supported(protocols)) == protocols


def test_members_of_the_classic_protocol_have_one_in_common() -> None:
    others = [(("a", b""), ("b", b"")), (("b", b""), ("c", b""))]
    assert supports("consumer", ["b"], others)
    assert not supports("consumer", ["a", "c"], others)
    assert supports("consumer", ["a"], [])
    assert not supports("consumer", [], [])
    assert not supports("connect", ["b"], others)


def test_a_member_joins_again_when_there_is_something_for_it() -> None:
    def joins(
        row: MemberRow, target: Partitions, epoch: int = 3, busy: Partitions = NOTHING
    ) -> bool:
        return has_to_join(row, epoch, target, 3, busy)

    at_rest = MemberRow(3, 2, 1, 0, STABLE, parts(0))
    assert not joins(at_rest, parts(0))
    assert joins(at_rest, parts(0), epoch=4)
    assert joins(at_rest, parts(1))
    assert joins(at_rest, NOTHING)
    waiting = MemberRow(3, 2, 1, 0, WAITING, parts(0))
    assert not joins(waiting, parts(0, 1), busy=parts(1))
    assert joins(waiting, parts(0, 1))
    assert joins(MemberRow(3, 2, 1, 0, REVOKING, parts(0), parts(1)), parts(0))


def test_a_policy_says_which_ways_are_open() -> None:
    ways = {policy.value: (policy.upgrades, policy.downgrades) for policy in Policy}
    assert ways == {
        "disabled": (False, False),
        "bidirectional": (True, True),
        "upgrade": (True, False),
        "downgrade": (False, True),
    }
