"""Which Redis, which namespace: options that may stand before or behind the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Settings:
    """What every client of a command is made with."""

    url: str | None = None
    namespace: str | None = None
    properties: tuple[tuple[str, str], ...] = ()
    """Further client configs, as text."""

    def client(self, **ours: Any) -> dict[str, Any]:
        """Keywords for a client; what the user set with -X wins over `ours`."""
        config = {**self.connection(), **ours}
        config.update((name.replace(".", "_"), _value(text)) for name, text in self.properties)
        return config

    def connection(self) -> dict[str, Any]:
        """The keywords that say where to connect."""
        config: dict[str, Any] = {"url": self.url}
        if self.namespace is not None:
            config["namespace"] = self.namespace
        login = {"username", "password", "password_file", "request_timeout_ms"}
        pairs = ((name.replace(".", "_"), text) for name, text in self.properties)
        config.update(
            (name, _value(text)) for name, text in pairs if name in login or name[:4] == "ssl_"
        )
        return config


def _value(text: str) -> str | bool | None:
    """What a config's text means: pydantic makes numbers of text, but no None."""
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def pair(text: str, what: str) -> tuple[str, str]:
    """`NAME=VALUE` in two.

    Raises:
        click.BadParameter: there is no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r}: expected {what}")
    return name, value


def connected(command: Command) -> Command:
    """Give a command `--url` and `--namespace`, and its first argument `settings`."""

    def merge(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if value is not None:
            settings = of(ctx)
            ctx.obj = (
                replace(settings, url=value)
                if param.name == "url"
                else replace(settings, namespace=value)
            )
        return value

    for name, metavar, text in (
        ("namespace", "NAME", "The prefix of all keys (default: ps)."),
        ("url", "URL", "Where Redis is (default: PARTSTREAM_URL)."),
    ):
        option = click.option(
            f"--{name}", metavar=metavar, help=text, callback=merge, expose_value=False
        )
        command = option(command)
    return command


def properties(command: Command) -> Command:
    """Give a command `-X NAME=VALUE`, for any config of the client that it uses."""

    def merge(ctx: click.Context, _: click.Parameter, values: tuple[str, ...]) -> None:
        pairs = tuple(pair(value, "NAME=VALUE, as in linger_ms=20") for value in values)
        ctx.obj = replace(ctx.ensure_object(Settings), properties=pairs)

    option = click.option(
        "-X", "--property", multiple=True, metavar="NAME=VALUE", callback=merge,
        expose_value=False, help="A config of the client, as in -X linger_ms=20. Repeatable.",
    )  # fmt: skip
    return option(command)


def of(ctx: click.Context) -> Settings:
    """The settings of a command that is `connected`."""
    return ctx.ensure_object(Settings)
