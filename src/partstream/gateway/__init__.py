"""A gateway: speaks the Kafka wire protocol to any Kafka client, and does what it asks on Redis.

Gateways are many and hold no state that another would miss. `framing` cuts a connection's bytes
into frames, `connection` answers them in order, `table` knows every API, `codec` reads and writes
messages, and each of `handlers` does one API on the engine.
"""
