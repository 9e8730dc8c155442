"""Groups on a real cluster: each group in its own slot, wherever that is."""

from __future__ import annotations

import asyncio

from partstream.model import GroupState, OffsetAndMetadata
from tests.engine.classic_members import ClassicMember
from tests.engine.group_members import Member, rig, settle
from tests.waiting import until


async def test_groups_work_wherever_their_slot_is(cluster_url: str, namespace: str) -> None:
    async with rig(cluster_url, namespace) as engine:
        await engine.topics.create("t", 6)
        groups = {
            group_id: [Member(engine.groups, group_id) for _ in range(3)]
            for group_id in ("a", "b", "c", "with}brace", "with {both}")
        }
        nodes = {engine.store.placement(engine.store.keys.group(g).group).address for g in groups}
        assert len(nodes) > 1
        await asyncio.gather(*(settle(*members) for members in groups.values()))
        for group_id, members in groups.items():
            assert sorted(len(member.owned) for member in members) == [2, 2, 2]
            partition = min(members[0].owned)
            await engine.groups.commit(
                group_id,
                {partition: OffsetAndMetadata(3)},
                member_id=members[0].id,
                member_epoch=members[0].epoch,
            )
            found = await engine.groups.fetch_offsets(group_id)
            assert found == {partition: OffsetAndMetadata(3)}
        assert [group.group_id for group in await engine.groups.list()] == sorted(groups)


async def test_bells_ring_across_the_cluster(cluster_url: str, namespace: str) -> None:
    async with rig(cluster_url, namespace) as engine, rig(cluster_url, namespace) as other:
        await engine.topics.create("t", 2)
        old, new = Member(engine.groups, "g"), Member(other.groups, "g")
        await old.beat()
        rung = asyncio.Event()
        watch = await engine.store.bells.watch(engine.groups.bell_channel("g", old.id), rung.set)
        rung.clear()
        await new.beat()
        await asyncio.wait_for(rung.wait(), 5)
        watch.cancel()
        await settle(old, new)
        assert len(old.owned) == len(new.owned) == 1


async def test_classic_groups_of_two_processes_work_wherever_their_slot_is(
    cluster_url: str, namespace: str
) -> None:
    async with rig(cluster_url, namespace) as here, rig(cluster_url, namespace) as there:
        for group_id in ("a", "b", "with}brace"):
            one = ClassicMember(here.groups, group_id)
            two = ClassicMember(there.groups, group_id)
            await one.settle()
            joining = asyncio.create_task(two.join())
            await until(one.beat)
            await asyncio.gather(one.join(), joining)
            synced = await asyncio.gather(two.sync(), one.sync())
            assert [answer.assignment.decode() for answer in synced] == [two.id, one.id]
        assert {group.state for group in await here.groups.list()} == {GroupState.STABLE}
