"""A web service that produces, and consumes in the background.

    pip install fastapi uvicorn
    uvicorn examples.fastapi_app:app
    curl -X POST localhost:8000/orders/ada -d '{"cents": 1250}' -H 'content-type: application/json'
    curl localhost:8000/orders/ada

The answer to the POST is sent when the order is acknowledged: what the customer was told is in the
log. What the GET shows is built by a consumer from that log; a second instance of the service reads
it for itself, so every instance can answer. Set PARTSTREAM_URL to use your own Redis.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from partstream import RecordMetadata, TopicPartition, aio
from partstream.errors import PartstreamError, TopicAlreadyExists

TOPIC = os.environ.get("ORDERS_TOPIC", "web-orders")
PARTITIONS = 3


class Order(BaseModel):
    """What a customer sends."""

    cents: int


class Service:
    """What the handlers share."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.producer = aio.Producer(url, linger_ms=0)
        self.totals: dict[str, int] = defaultdict(int)

    async def follow(self) -> None:
        """Keep the totals up to date, from the first order on."""
        async with aio.Consumer(self.url, auto_offset_reset="earliest") as consumer:
            await consumer.assign([TopicPartition(TOPIC, number) for number in range(PARTITIONS)])
            async for record in consumer:
                order = Order(**json.loads(record.value))
                self.totals[record.key.decode()] += order.cents


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect when the service starts, deliver what is on its way when it stops."""
    service = Service(os.environ.get("PARTSTREAM_URL", "embedded:"))
    async with aio.Admin(service.url) as admin:
        with suppress(TopicAlreadyExists):  # another instance made it
            await admin.create_topic(TOPIC, partitions=PARTITIONS)
    async with service.producer:
        following = asyncio.create_task(service.follow())
        app.state.service = service
        yield
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{customer}", status_code=201)
async def place(customer: str, order: Order) -> dict[str, int]:
    """Place an order."""
    service: Service = app.state.service
    try:
        delivery = await service.producer.send(
            TOPIC, order.model_dump_json().encode(), key=customer.encode()
        )
        metadata: RecordMetadata = await delivery
    except PartstreamError as error:
        raise HTTPException(503 if error.retriable else 500, str(error)) from error
    return {"partition": metadata.partition, "offset": metadata.offset}


@app.get("/orders/{customer}")
async def total(customer: str) -> dict[str, int]:
    """What a customer has ordered so far."""
    service: Service = app.state.service
    return {"cents": service.totals[customer]}
