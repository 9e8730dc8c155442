"""The recorded answers of Kafka: a file for each module of scenarios, a line for each answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recordings"

Recording = dict[str, dict[str, list[Any]]]
"""Scenario -> version -> what was heard."""


def read(group: str) -> Recording:
    """What Kafka answered to the scenarios of a module."""
    path = FOLDER / f"{group}.json"
    recording: Recording = json.loads(path.read_text(encoding="utf-8"))
    for versions in recording.values():
        for version, heard in versions.items():
            if isinstance(heard, str):
                versions[version] = versions[heard]
    return recording


def write(group: str, recording: Recording) -> None:
    """Keep what Kafka answered; a scenario and version is a line, so that changes can be read."""
    blocks = []
    for name, versions in recording.items():
        seen: dict[str, str] = {}
        texts = {
            version: json.dumps(heard, separators=(",", ":"), sort_keys=True)
            for version, heard in versions.items()
        }
        rows = ",\n".join(
            # What another version was answered, too, is its number.
            f' "{version}":'
            + (text if seen.setdefault(text, version) == version else f'"{seen[text]}"')
            for version, text in texts.items()
        )
        blocks.append(f"{json.dumps(name)}:{{\n{rows}\n}}")
    text = "{\n" + ",\n".join(blocks) + "\n}\n"
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{group}.json").write_text(text, encoding="utf-8")
