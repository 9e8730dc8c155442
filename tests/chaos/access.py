"""Who gets into the servers of a run, how clients show who they are, and how that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from partstream.embedded.process import ServerProcess, Settings, TlsFiles, quoted
from tests.chaos.faults import Access
from tests.chaos.names import GROUP, NAMESPACE, TOPIC
from tests.servers.authority import Authority
from tests.servers.rules import rule

_USERS = {
    "producer": "orders-producer",
    "member": "billing-consumer",
    "reader": "billing-consumer",
    "gateway": "gateway",
}
_HOST = "127.0.0.1"
_BOTH_S = 1.0
"""How long two passwords are good: whoever has just read the old one has to get in with it."""


class Entry:
    """Everybody gets in."""

    keeps_authority = False
    """Whether new certificates come from the same authority: Sentinels load theirs only once."""
    aclfile: Path | None = None
    tls: TlsFiles | None = None

    @property
    def settings(self) -> Settings:
        """Lines for the config file of a server on its own."""
        return {}

    def login(self, role: str) -> dict[str, Any]:
        """The configs with which a client of a role gets in."""
        return {}

    def ours(self) -> dict[str, Any]:
        """The configs with which the conductor gets in, who may do everything."""
        return {}

    async def change(self, servers: Sequence[ServerProcess]) -> str:
        """Change what clients show, while they run; returns what it was."""
        raise TypeError("everybody gets in: there is nothing to change")

    async def admit(self, server: ServerProcess) -> None:
        """A server has come that knows only what was in the beginning."""


class Users(Entry):
    """One user a role, with no more rights than the documentation gives it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changes = 0
        self.aclfile = folder / "users.acl"
        lines = [f"user {' '.join(self._rule(user))}\n" for user in sorted(set(_USERS.values()))]
        self.aclfile.write_text("".join(lines), encoding="utf-8")
        self._tell()

    def _rule(self, user: str) -> list[str]:
        words = rule(user)[2:]
        words[words.index(">secret")] = f">{self._password}"
        names = {"ps:": f"{NAMESPACE}:", ":orders:": f":{TOPIC}:", "{g:billing}": f"{{g:{GROUP}}}"}
        for theirs, ours in names.items():
            words = [word.replace(theirs, ours) for word in words]
        return words

    @property
    def _password(self) -> str:
        return f"secret-{self._changes}"

    @property
    def settings(self) -> Settings:
        return {"aclfile": quoted(str(self.aclfile))}

    def login(self, role: str) -> dict[str, Any]:
        login = {"username": _USERS[role], "password_file": str(self._folder / "password")}
        return login if role == "gateway" else {**login, "allow_auto_create_topics": False}

    async def change(self, servers: Sequence[ServerProcess]) -> str:
        """Another password for everybody; for a while both are good."""
        users = sorted(set(_USERS.values()))
        old = self._password
        self._changes += 1
        await self._say(servers, *(("ACL", "SETUSER", u, f">{self._password}") for u in users))
        self._tell()
        await asyncio.sleep(_BOTH_S)
        await self._say(
            servers, *(("ACL", "SETUSER", u, f"<{old}") for u in users), ("ACL", "SAVE")
        )
        await self._say(servers, *(("CLIENT", "KILL", "USER", user) for user in users))
        return f"password {self._changes}"

    async def admit(self, server: ServerProcess) -> None:
        users = sorted(set(_USERS.values()))
        await self._say(
            [server],
            *(("ACL", "SETUSER", user, "resetpass", f">{self._password}") for user in users),
        )

    async def _say(self, servers: Sequence[ServerProcess], *commands: tuple[str, ...]) -> None:
        for server in servers:
            await asyncio.to_thread(server.commands, commands)

    def _tell(self) -> None:
        new = self._folder / "password.new"
        new.write_text(self._password, encoding="utf-8")
        new.replace(self._folder / "password")  # nobody is to read half of it


class Certificates(Entry):
    """Whoever shows a certificate of our authority, over TLS."""

    def __init__(self, folder: Path) -> None:
        self._authority = Authority(folder / "tls")
        self.tls = self._authority.server(_HOST)
        self._client = self._authority.client()
        self._changes = 0
        del self._client["request_timeout_ms"]

    def login(self, role: str) -> dict[str, Any]:
        return self._client

    def ours(self) -> dict[str, Any]:
        return self._client

    async def change(self, servers: Sequence[ServerProcess]) -> str:
        """New certificates, of another authority; for a while both are good."""
        self._changes += 1
        if not self.keeps_authority:
            await asyncio.to_thread(self._authority.begin_anew)
            await self._reload(servers, "ca-cert-file")
        await asyncio.to_thread(self._authority.server, _HOST)
        await self._reload(servers, "cert-file", "key-file")
        await asyncio.to_thread(self._authority.client)
        await asyncio.to_thread(self._authority.forget_the_old)
        await self._reload(servers, "ca-cert-file")
        for server in servers:
            await asyncio.to_thread(server.command, "CLIENT", "KILL", "TYPE", "normal")
        return f"certificates {self._changes}"

    async def _reload(self, servers: Sequence[ServerProcess], *names: str) -> None:
        assert self.tls is not None
        paths = {
            "ca-cert-file": self.tls.ca,
            "cert-file": self.tls.certificate,
            "key-file": self.tls.key,
        }
        for server in servers:
            for name in names:
                path = str(paths[name])
                await asyncio.to_thread(server.command, "CONFIG", "SET", f"tls-{name}", path)


def entry_of(access: Access, folder: Path) -> Entry:
    """How to get into the servers of a run."""
    match access:
        case "acl":
            return Users(folder)
        case "tls":
            return Certificates(folder)
        case _:
            return Entry()
