"""The clients of other languages and of other times: made once, kept in `.foreign/`.

What is made is made again when what it is made of has changed. Processes that test at the same time
wait for one another.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KEPT = ROOT / ".foreign"

_MINUTES = 10
"""How long one step may take: downloads on a slow line."""
_TRIES = 3


def lacking(what: str) -> None:
    """Skip the test, and say what it needs. On CI it fails: there, everything is to be tested.

    Raises:
        Failed, Skipped: always one of the two.
    """
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing on this machine: CI tests with it", pytrace=False)
    pytest.skip(f"needs {what}")


def program(name: str, what: str) -> str:
    """The path of a program of the machine; `what` names it where it is missing."""
    found = shutil.which(name)
    if found is None:
        lacking(what)
    return found or name


@functools.cache
def java(version: str) -> tuple[str, ...]:
    """The command that runs our client on Kafka's Java clients."""
    return (*java_class(version), "Client")


@functools.cache
def java_class(version: str, profile: str = "") -> tuple[str, ...]:
    """The command that runs a class of Kafka's, its name and arguments still to come.

    `profile` says what is there beside the clients; the newest version has tools and Streams.
    """
    run, mvn = program("java", "Java"), program("mvn", "Maven")
    javac = program("javac", "a Java compiler")
    profiles = profile or ("tools,streams" if version == NEWEST_JAVA else "")
    pom, sources = HERE / "java/pom.xml", _java_sources(version, profiles)

    def make(folder: Path) -> None:
        libs = folder / "libs"
        _run(
            [
                *(mvn, "-q", "-B", "-f", pom, f"-Dkafka.version={version}"),
                *([f"-P{profiles}"] if profiles else []),
                *("dependency:copy-dependencies", f"-DoutputDirectory={libs}"),
            ],
            tries=_TRIES,
        )
        _run(
            [
                *(javac, "-nowarn", "-proc:none", "-Xlint:none"),
                *("-cp", f"{libs}/*", "-d", folder / "classes", *sources),
            ]
        )

    name = "-".join(filter(None, ["java", version, profile]))
    folder = _made(name, [pom, *sources], make)
    quiet = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",)
    return (run, *_QUICK, *quiet, "-cp", f"{folder}/classes:{folder}/libs/*")


NEWEST_JAVA = "4.3.0"
_QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m")
"""Java starts soon, and takes little."""
_ON_STREAMS = {"Streams.java", "Tables.java"}
_SINCE = {"CallsSince33.java": (3, 3), "CallsSince40.java": (4, 0)}
"""What older versions of the clients do not compile."""


def _java_sources(version: str, profiles: str) -> list[Path]:
    """The sources of our client that this version has all classes for."""
    has = tuple(map(int, version.split(".")))
    left_out = {name for name, since in _SINCE.items() if has < since}
    if "streams" not in profiles:
        left_out |= _ON_STREAMS
    return sorted(path for path in (HERE / "java").glob("*.java") if path.name not in left_out)


@functools.cache
def registry() -> tuple[str, ...]:
    """The command that runs Apicurio Registry; its settings and `REGISTRY_CLASS` still to come."""
    run, mvn = program("java", "Java"), program("mvn", "Maven")
    # Newer versions of the plugin ask for the artifact's parent, which is not published.
    unpack = "org.apache.maven.plugins:maven-dependency-plugin:2.8:unpack"
    artifact = f"io.apicurio:apicurio-registry-app:{_APICURIO}:tar.gz:all"

    def make(folder: Path) -> None:
        words = (f"-Dartifact={artifact}", f"-DoutputDirectory={folder}")
        _run([mvn, "-q", "-B", unpack, *words], cwd=folder, tries=_TRIES)

    folder = _made(f"apicurio-{_APICURIO}", [unpack, artifact], make)
    return (run, *_QUICK, "-cp", f"{folder}/apicurio-registry-app-{_APICURIO}-runner.jar")


_APICURIO = "3.0.9"
"""The newest version that runs on Java 17."""
REGISTRY_CLASS = "io.quarkus.runner.GeneratedMain"


@functools.cache
def go() -> tuple[str, ...]:
    """The command that runs our client on franz-go."""
    tool = program("go", "Go")
    sources = [HERE / "go" / name for name in ("go.mod", "go.sum")]
    sources += sorted((HERE / "go").glob("*.go"))

    def make(folder: Path) -> None:
        _run([tool, "build", "-o", folder / "client", "."], cwd=HERE / "go", tries=_TRIES)

    return (str(_made("go", sources, make) / "client"),)


@functools.cache
def node() -> tuple[str, ...]:
    """The command that runs our client on kafkajs."""
    run, npm = program("node", "Node"), program("npm", "npm")
    packages = [HERE / "node" / name for name in ("package.json", "package-lock.json")]
    sources = [*packages, *sorted((HERE / "node").glob("*.js"))]

    def make(folder: Path) -> None:
        for source in sources:
            shutil.copy(source, folder)
        _run([npm, "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, tries=_TRIES)

    return (run, "--no-warnings", str(_made("node", sources, make) / "client.js"))


@functools.cache
def python(client: str, *requirements: str) -> tuple[str, ...]:
    """The command that runs our client on a Python client, in an environment of its own.

    Without requirements it is the environment of the tests.
    """
    return python_program(f"{client}_client", *requirements)


@functools.cache
def python_program(name: str, *requirements: str) -> tuple[str, ...]:
    """The command that runs a program of tests.foreign.python, likewise."""
    module = ("-W", "ignore", "-m", f"tests.foreign.python.{name}")
    if not requirements:
        return (sys.executable, *module)
    interpreter = _python_3_11()

    def make(folder: Path) -> None:
        _run([interpreter, "-m", "venv", folder / "venv"])
        pip = [folder / "venv/bin/python", "-m", "pip", "install", "--quiet", *requirements]
        _run([*pip, "--disable-pip-version-check"], tries=_TRIES)

    kept = f"python-{requirements[0].replace('==', '-')}"
    folder = _made(kept, [*requirements, str(interpreter)], make)
    return (str(folder / "venv/bin/python"), *module)


def _python_3_11() -> str:
    """An interpreter that the old clients run on: no newer one can."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (
        sys.executable,
        shutil.which("python3.11") or "",
        *map(str, versions.glob("3.11*/bin/python")),
    ):
        asked = [candidate, "-c", "import sys, venv, ensurepip; print(sys.version_info[:2])"]
        if candidate and _says(asked) == "(3, 11)":
            return candidate
    lacking("Python 3.11")
    return ""


def _says(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _made(name: str, made_of: Sequence[str | Path], make: Callable[[Path], None]) -> Path:
    """The folder of something that is made if it is not there, or is made of something else."""
    KEPT.mkdir(exist_ok=True)
    folder, stamp = KEPT / name, hashlib.sha256()
    for one in made_of:
        stamp.update(one.read_bytes() if isinstance(one, Path) else one.encode())
    with (KEPT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "made-of"
        if not done.exists() or done.read_text() != stamp.hexdigest():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.write_text(stamp.hexdigest())
    return folder


def _run(command: Sequence[object], *, cwd: Path = ROOT, tries: int = 1) -> None:
    """Run one step; a download that fails is tried again."""
    for number in range(tries):
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_MINUTES * 60,
            check=False,
        )
        if done.returncode == 0:
            return
        time.sleep(number)
    raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}")


def connect() -> tuple[str, ...]:
    """The command that runs a class of Kafka Connect."""
    return java_class(NEWEST_JAVA, "connect")


def faust() -> tuple[str, ...]:
    """The command that runs our application on Faust."""
    return python_program("faust_table", "faust-streaming==0.15.3")


def quix() -> tuple[str, ...]:
    """The command that runs our application on Quix Streams."""
    return python_program("quix_totals", "quixstreams==3.28.1")


def main() -> None:
    """Make all that tests run on, ahead of them; say what cannot be made here, and why."""
    from tests.foreign.kinds import KINDS  # noqa: PLC0415 (it is made of what is here)

    failed = False
    programs: dict[str, Callable[[], Sequence[str]]] = {
        "Kafka Connect": connect,
        "Apicurio Registry": registry,
        "Faust": faust,
        "Quix Streams": quix,
    }
    for name, make in {**{kind.name: kind.command for kind in KINDS}, **programs}.items():
        try:
            make()
        except (pytest.skip.Exception, pytest.fail.Exception) as error:
            failed |= isinstance(error, pytest.fail.Exception)
            print(f"{name}: {error.msg}")
        else:
            print(f"{name}: ready")
    sys.exit(failed)


if __name__ == "__main__":
    main()
