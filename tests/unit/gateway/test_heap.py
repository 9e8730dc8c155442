"""A gateway keeps the memory that batches pass through."""

from __future__ import annotations

import subprocess
import sys

import pytest

_CHURN = """
import resource
from partstream.gateway.heap import keep_memory

def churn():
    return [bytes(16_384) for _ in range(400)]

kept = keep_memory()
churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    churn()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_what_was_freed_is_used_again_without_asking_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHURN], check=True, capture_output=True, text=True
    )
    kept, faults = done.stdout.split()
    if kept == "False":
        pytest.skip("the C library has no mallopt")
    assert int(faults) < 4_000  # 80,000 if each page is asked for anew
