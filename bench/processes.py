"""Runs a job in a fresh process, so that no job inherits another's memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def in_own_process(job: Callable[..., Any], *arguments: object) -> Any:
    """What the job returns; it and its arguments must be picklable."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(job, *arguments).result()
