"""Apache Kafka on loopback: a broker to measure beside, and its own measuring tools.

Java 17 and Maven have to be there; the jars are fetched once, into `.kafka/`.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
HOME = HERE.parents[1] / ".kafka"
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={logs}
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
"""


def available() -> bool:
    """Whether there is a Java to run it, and its jars or Maven to fetch them."""
    return bool(shutil.which("java") and (shutil.which("mvn") or (HOME / ".complete").exists()))


def classpath() -> str:
    """Where Java finds Kafka; fetches it if need be."""
    if not (HOME / ".complete").exists():
        libs = f"-DoutputDirectory={HOME / 'libs'}"
        pom = str(HERE / "pom.xml")
        subprocess.run(
            ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", libs], check=True
        )
        (HOME / ".complete").touch()
    return str(HOME / "libs" / "*")


@contextmanager
def broker() -> Iterator[tuple[str, int]]:
    """One broker, with the heap of Kafka's own start script; gives its address and process id."""
    java = ["java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", _QUIET, "-cp", classpath()]
    port, controller = _free_port(), _free_port()
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        settings = Path(folder, "server.properties")
        settings.write_text(
            _SETTINGS.format(port=port, controller=controller, logs=Path(folder, "log"))
        )
        form = [*java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk"]
        subprocess.run([*form, "-c", str(settings)], check=True, stdout=subprocess.DEVNULL)
        with Path(folder, "broker.log").open("wb") as log:
            running = subprocess.Popen(
                [*java, "kafka.Kafka", str(settings)], stdout=log, stderr=subprocess.STDOUT
            )
        try:
            _wait_for(port, running, Path(folder, "broker.log"))
            yield f"127.0.0.1:{port}", running.pid
        finally:
            running.terminate()
            running.wait(60)


def producer_performance(bootstrap: str, topic: str, records: int) -> float:
    """Kafka's ProducerPerformance, 100-byte records, acks=all: records a second."""
    words = ["--topic", topic, "--num-records", str(records), "--record-size", "100"]
    words += ["--throughput", "-1", "--bootstrap-server", bootstrap]
    text = _tool("ProducerPerformance", *words, "--command-property", "acks=all")
    return float(re.findall(r"records sent, ([\d.]+) records/sec", text)[-1])


def consumer_performance(bootstrap: str, topic: str, records: int) -> float:
    """Kafka's ConsumerPerformance: records a second of the time in which it fetched."""
    words = ["--topic", topic, "--num-records", str(records), "--bootstrap-server", bootstrap]
    text = _tool("ConsumerPerformance", *words, "--command-property", "group.protocol=consumer")
    return float(text.strip().splitlines()[-1].split(",")[-1])


def _tool(name: str, *words: str) -> str:
    java = ["java", "-Xmx512m", _QUIET, "-cp", classpath(), f"org.apache.kafka.tools.{name}"]
    done = subprocess.run([*java, *words], check=True, capture_output=True, text=True, timeout=600)
    return done.stdout


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _wait_for(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("Kafka did not start:\n" + os.linesep.join(log.read_text().splitlines()[-20:]))
