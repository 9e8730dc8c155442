"""What programs are told by HTTP, and answer, in JSON."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

NOBODY = 0
"""The status where nobody has answered: the program has only just been started."""


def ask(method: str, url: str, body: Any = None) -> tuple[int, Any]:
    """The status of an answer, and what it says; it blocks."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    asked = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, _read(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, _read(error.read())
    except OSError:
        return NOBODY, None


def _read(said: bytes) -> Any:
    """JSON; or words, if a program has failed in its own way."""
    try:
        return json.loads(said)
    except ValueError:
        return said.decode(errors="replace")
