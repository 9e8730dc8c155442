"""The rules that every script keeps, seen the hard way."""

from __future__ import annotations

import re

import pytest

from partstream.embedded.resp import text
from partstream.store.scripts import Script, every_script
from tests.servers.pool import Server

SCRIPTS = every_script()
CALL = re.compile(r"redis\.p?call\('(\w+)'(?:,\s*([^,)]+))?")
ADDING = {"log/append", "clean/add"}
KEYLESS = {"TIME", "INFO", "PUBSUB", "SPUBLISH"}


@pytest.fixture(params=SCRIPTS, ids=lambda script: script.name)
def script(request: pytest.FixtureRequest) -> Script:
    """Each of the scripts."""
    found: Script = request.param
    return found


def test_there_are_scripts() -> None:
    assert {"log/append", "log/create", "topic/publish", "store/barrier"} <= {
        script.name for script in SCRIPTS
    }


def test_a_script_says_what_it_is(script: Script) -> None:
    shebang, title = script.source.splitlines()[:2]
    assert re.fullmatch(r"#!lua( flags=[a-z,-]+)?", shebang)
    assert title.startswith(f"-- {script.name.split('/')[1]}: ")
    assert "\n-- Returns " in script.source


def test_a_full_redis_takes_no_data_but_frees_itself(script: Script) -> None:
    allowed = "allow-oom" in script.source.splitlines()[0]
    assert allowed == (script.name not in ADDING and "no-writes" not in script.source[:40])


def test_keys_are_declared_and_not_made_up(script: Script) -> None:
    code = "\n".join(line for line in script.source.splitlines() if not line.startswith("--"))
    assert "@include" not in script.source, "an include was not found"
    for command, key in CALL.findall(code):
        if command in KEYLESS:
            continue
        assert not key.startswith("'"), f"{command} on the literal {key}"
        assert ".." not in key, f"{command} on a key made up as {key}"
    used = {int(number) for number in re.findall(r"\bKEYS\[(\d+)\]", code)}
    header = "\n".join(line for line in script.source.splitlines() if line.startswith("--"))
    declared = [
        range(int(first), int(last or first) + 1)
        for first, last in re.findall(r"KEYS\[(\d+)(?:…(\d+))?\]", header)
    ]
    assert used <= {number for numbers in declared for number in numbers}


def test_no_number_is_glued_to_text_as_lua_would_write_it(script: Script) -> None:
    """`1e14 .. '-0'` is `1e+14-0`: what may grow goes through string.format."""
    code = "\n".join(line for line in script.source.splitlines() if not line.startswith("--"))
    assert not re.search(r"tostring\((new_end|log_end|total|offset|now)", code)
    assert not re.search(r"\b(new_end|log_end|total|now)\s*\.\.", code)
    assert not re.search(r"\.\.\s*(new_end|log_end|total|now)\b", code)


def test_no_key_of_a_partition_is_read_whole(script: Script) -> None:
    """It may have any number of batches, of segments, of producers."""
    if not script.name.startswith(("log/", "clean/")):
        return
    whole = {"HGETALL", "HKEYS", "HVALS", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE"}
    assert not whole & {command for command, _ in CALL.findall(script.source)}
    for found in re.finditer(r"'(ZRANGE|XRANGE|XREVRANGE)'", script.source):
        call = script.source[found.end() : found.end() + 100]
        assert "'-1'" not in call if found[1] == "ZRANGE" else "'COUNT'" in call


def test_nothing_is_global(script: Script) -> None:
    for line in script.source.splitlines():
        assert not re.match(r"function \w", line), line
        assert not re.match(r"[a-z_]+ = ", line) or _declared(script, line.split(" = ")[0]), line


def _declared(script: Script, name: str) -> bool:
    return re.search(rf"\blocal [^=\n]*\b{name}\b", script.source) is not None


@pytest.mark.every_server
def test_servers_take_them(server: Server) -> None:
    for script in SCRIPTS:
        assert text(server.command("SCRIPT", "LOAD", script.source)) == script.sha
