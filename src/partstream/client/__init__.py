"""The asyncio clients: Producer, Consumer, Admin, each on a session of its own."""
