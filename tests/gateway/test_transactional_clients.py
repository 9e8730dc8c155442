"""There are no transactions yet: who wants them hears so at once, and does not ask for ever."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TransactionalIdAuthorizationFailed as AioRefused
from confluent_kafka import KafkaError, KafkaException, Producer
from kafka import KafkaProducer
from kafka.errors import TransactionalIdAuthorizationFailedError

from tests.gateway.gateways import Client, address, gateway

_AT_ONCE_S = 15
"""Far less than the time that clients would go on asking."""


async def test_librdkafka(redis_url: str, namespace: str) -> None:
    def work(bootstrap: str) -> KafkaError:
        producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "x"})
        with pytest.raises(KafkaException) as refused:
            producer.init_transactions(60)
        error: KafkaError = refused.value.args[0]
        return error

    async with gateway(redis_url, namespace) as running, asyncio.timeout(_AT_ONCE_S):
        error = await asyncio.to_thread(work, address(running))
    assert error.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert error.fatal()


async def test_kafka_python(redis_url: str, namespace: str) -> None:
    def work(bootstrap: str) -> None:
        producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id="x")
        with pytest.raises(TransactionalIdAuthorizationFailedError):
            producer.init_transactions()
        producer.close(timeout=1)

    async with gateway(redis_url, namespace) as running, asyncio.timeout(_AT_ONCE_S):
        await asyncio.to_thread(work, address(running))


async def test_aiokafka(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, asyncio.timeout(_AT_ONCE_S):
        producer = AIOKafkaProducer(bootstrap_servers=address(running), transactional_id="x")
        with pytest.raises(AioRefused):
            await producer.start()
        await producer.stop()


@pytest.mark.parametrize("version", range(1, 7))
async def test_they_are_told_why(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        answer = await client.ask(10, version, key="x", key_type=1, coordinator_keys=["x"])
        found = answer if version < 4 else answer.coordinators[0]
        assert (found.error_code, found.node_id) == (53, -1)
        assert found.error_message == "Transactions are not supported yet."
