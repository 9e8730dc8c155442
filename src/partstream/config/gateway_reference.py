"""Writes the page of the gateway's configs from their model, as `reference` does for clients.

`python -m partstream.config.gateway_reference docs/gateway/configuration.md` writes it; a test
holds that the file is up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from partstream.config.common import CommonConfig
from partstream.config.gateway import GatewayConfig
from partstream.config.gateway_tls import ListenerTlsConfig
from partstream.config.gateway_topics import TopicDefaultsConfig
from partstream.config.reference import entry

_INTRO = """# Configuration of the gateway

`partstream serve` takes these, under the names of Kafka's broker configs where Kafka has one. `_`
may stand for `.`. Each comes from the first of these that gives it:

1. flags, and `-X NAME=VALUE`: `-X num.partitions=6`;
2. the environment: `PARTSTREAM_SERVE_NUM_PARTITIONS=6`;
3. a file of `NAME=VALUE` lines, as Kafka's `server.properties`: `--config gateway.properties`, or
   `PARTSTREAM_SERVE_CONFIG`.

What is unknown or out of bounds is refused at the start, with the name, the value and what was
expected. What Kafka's brokers know and what means nothing here, where there are no disks, no
controllers and no threads to be configured (`log.dirs`, `num.io.threads`, `process.roles`, ...), is
ignored, and named in one warning: an existing `server.properties` can be used as it is. What would
leave a door open if it were ignored (`authorizer.class.name`) is refused.

Where Redis is, how to log in there and what a gateway does for retention are configs of
all clients; see [Configuration](../configuration.md#all-clients), `ssl_ca_certs` to
`ssl_check_hostname` among them: they are for the connection to Redis.

This page is generated from the model in `partstream.config.gateway`.
"""


_TOPICS = """
## Defaults of topics

What topics get that are created through the gateway, by an admin client or on first use, if nothing
else is asked for. What is set here is written down with the topic, as the default of the gateway
that created it, and holds for everybody: other gateways, the library and whoever sweeps. So it
holds for as long as the topic does; a gateway that is started with other settings, or with none,
changes no topic that is there. (In Kafka it would; here it could delete records at once.) To change
a topic, set its own configs.

Clients see such a value with the source `STATIC_BROKER_CONFIG`. It lies below what is asked for
itself: to replace or delete a topic's configs (`kafka-configs --delete-config`) brings it back.
"""


def render() -> str:
    """The whole page, as Markdown."""
    tls = ListenerTlsConfig.model_fields.keys() - CommonConfig.model_fields.keys()
    topics = TopicDefaultsConfig.model_fields.keys() - CommonConfig.model_fields.keys()
    inherited = {
        name
        for name, field in CommonConfig.model_fields.items()
        if field.default == GatewayConfig.model_fields[name].default
    }
    parts = [_INTRO, "\n## Serving\n"]
    fields = GatewayConfig.model_fields
    parts += [
        entry(name.replace("_", "."), field)
        for name, field in fields.items()
        if name not in tls and name not in topics and name not in inherited
    ]
    parts.append(_TOPICS)
    parts += [entry(name.replace("_", "."), fields[name]) for name in fields if name in topics]
    parts.append("\n## TLS\n\nWhat `SSL://` listeners are configured with.\n")
    parts += [entry(name.replace("_", "."), fields[name]) for name in fields if name in tls]
    return "".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
