"""The blocking clients: thin twins of the asyncio ones, each with a loop on a thread of its own."""
