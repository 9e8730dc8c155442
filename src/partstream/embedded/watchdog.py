"""No server outlives the process that started it, however that process ends.

A tiny shell process per Python process reads the ids of the servers from a pipe. When the Python
process dies, SIGKILL included, the pipe closes and the shell kills what is left. Linux could do it
without a helper (PR_SET_PDEATHSIG), but that fires when the *thread* that started the child ends,
and servers are started from threads that end early.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import threading

_SCRIPT = """
left=
while read -r what pid; do
  case $what in
    guard) left="$left $pid" ;;
    forget) kept=; for p in $left; do [ "$p" = "$pid" ] || kept="$kept $p"; done; left=$kept ;;
  esac
done
[ -z "$left" ] || kill -KILL $left
"""

_lock = threading.Lock()
_shell: subprocess.Popen[bytes] | None = None


def guard(pid: int) -> None:
    """Have the process `pid` killed when this process ends."""
    _tell("guard", pid)


def forget(pid: int) -> None:
    """The process `pid` has ended; its number may soon belong to another."""
    _tell("forget", pid)


def _tell(what: str, pid: int) -> None:
    global _shell
    with _lock:
        if _shell is None:
            _shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is not for it
            )
        assert _shell.stdin is not None
        os.write(_shell.stdin.fileno(), f"{what} {pid}\n".encode())


def _close() -> None:
    """At a normal exit, last of all: servers that are still there die with this process."""
    if _shell is not None:
        assert _shell.stdin is not None
        _shell.stdin.close()
        _shell.wait()


def _after_fork() -> None:
    """A forked child has servers of its own, and must not keep its parent's pipe open."""
    global _lock, _shell
    _lock = threading.Lock()
    if _shell is not None:
        assert _shell.stdin is not None
        _shell.stdin.close()
        _shell.returncode = 0  # not this process's child: nothing to wait for, or to warn of
        _shell = None


atexit.register(_close)
os.register_at_fork(after_in_child=_after_fork)
