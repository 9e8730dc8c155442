"""The gateway's Dockerfile, compose file, manifests and unit: they are valid, and fit together."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from partstream.cli.serve_settings import PREFIX, gather
from partstream.cli.settings import Settings
from partstream.config.gateway import GatewayConfig
from tests.servers.containers import docker_answers
from tests.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "deploy"
KUBERNETES = "1.30"
"""The oldest version that the manifests are checked against; the newest is checked, too."""


def documents(path: Path) -> list[dict[str, Any]]:
    return [part for part in yaml.safe_load_all(path.read_text(encoding="utf-8")) if part]


MANIFESTS = [
    document for path in sorted(FOLDER.glob("kubernetes/*.yaml")) for document in documents(path)
]


def named(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def configured(environment: dict[str, str]) -> GatewayConfig:
    """What a gateway makes of these variables."""
    assert any(name.startswith(PREFIX) for name in environment)
    return gather(Settings(), {}, None, environment)


@pytest.mark.parametrize("version", [KUBERNETES, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=named)
def test_kubernetes_takes_the_manifest(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_manifests_fit_together() -> None:
    found = {manifest["kind"]: manifest for manifest in MANIFESTS}
    stateful, budget = found["StatefulSet"]["spec"], found["PodDisruptionBudget"]["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    services = [manifest for manifest in MANIFESTS if manifest["kind"] == "Service"]
    for selected in (stateful["selector"]["matchLabels"], budget["selector"]["matchLabels"]):
        assert selected.items() <= labels.items()
    assert all(each["spec"]["selector"].items() <= labels.items() for each in services)
    (headless,) = (each for each in services if "clusterIP" in each["spec"])
    assert stateful["serviceName"] == headless["metadata"]["name"]
    (container,) = stateful["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert all(port["targetPort"] in ports for each in services for port in each["spec"]["ports"])
    values = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    assert headless["metadata"]["name"] in values[f"{PREFIX}ADVERTISED"]
    told = {"POD_NAME": "gateway-0", "POD_NAMESPACE": "default", "REDIS_PASSWORD": "x"}
    assert {name for text in values.values() for name in re.findall(r"\$\((\w+)\)", text)} <= set(
        told
    )
    config = configured(
        {
            name: re.sub(r"\$\((\w+)\)", lambda one: told[one[1]], text)
            for name, text in values.items()
        }
    )
    assert config.listeners[0].port == ports["kafka"]
    assert (config.admin_listen or "").endswith(f":{ports['admin']}")
    grace = stateful["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace * 1_000 > config.drain_timeout_ms
    (kustomization,) = documents(FOLDER / "kustomization.yaml")
    manifests = {str(path.relative_to(FOLDER)) for path in FOLDER.glob("kubernetes/*.yaml")}
    assert set(kustomization["resources"]) == manifests
    assert kustomization["images"][0]["name"] == container["image"]


def test_kustomize_builds_it() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl")
    built = subprocess.run(
        [kubectl, "kustomize", str(FOLDER)], capture_output=True, text=True, check=True, timeout=60
    )
    kinds = []
    for manifest in yaml.safe_load_all(built.stdout):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        kinds.append(manifest["kind"])
    assert sorted(kinds) == ["PodDisruptionBudget", "Service", "Service", "StatefulSet"]


def test_compose_takes_the_file() -> None:
    schema = files("check_jsonschema.builtin_schemas.vendor") / "compose-spec.json"
    (compose,) = documents(FOLDER / "compose.yaml")
    jsonschema.validate(compose, json.loads(schema.read_text(encoding="utf-8")))
    gateways = {name: one for name, one in compose["services"].items() if "gateway" in name}
    assert len(gateways) == 2
    seen = set()
    for gateway in gateways.values():
        values = {
            name: re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value)
            for name, value in gateway["environment"].items()
        }
        config = configured({**dockerfile_settings(), **values})
        (listener,) = config.listeners
        # Clients are told the port that is published, which must be the one inside.
        assert config.told == {"PLAINTEXT": ("localhost", listener.port)}
        assert f"127.0.0.1:{listener.port}:{listener.port}" in gateway["ports"]
        assert all(port.startswith("127.0.0.1:") for port in gateway["ports"])
        seen.add((config.node_id, listener.port))
    assert len(seen) == 2
    assert (FOLDER / "../cluster/redis.conf").is_file()


def dockerfile_settings() -> dict[str, str]:
    """What the image sets for the gateway."""
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    return dict(re.findall(rf"({PREFIX}\w+)=(\S+)", text))


def test_the_image_is_made_of_what_there_is() -> None:
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    copied = [
        word for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.M) for word in line.split()
    ]
    assert {"pyproject.toml", "src"} <= set(copied)
    let_in = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    for name in copied:
        assert (REPOSITORY / name).exists()
        assert f"!{name}\n" in let_in
    config = configured(dockerfile_settings())
    exposed = re.findall(r"^EXPOSE (.*)$", text, re.M)[0].split()
    assert [
        str(config.listeners[0].port),
        (config.admin_listen or "").rpartition(":")[2],
    ] == exposed


def test_the_image_serves() -> None:
    if not docker_answers():
        pytest.skip("no Docker answers")
    build = ["docker", "build", "--file", str(FOLDER / "Dockerfile"), "--tag", "partstream-test"]
    subprocess.run([*build, str(REPOSITORY)], check=True, timeout=900)
    # Without a Redis it cannot start, and says where it looked for one.
    run = [
        "docker",
        "run",
        "--rm",
        "--env",
        "PARTSTREAM_URL=redis://127.0.0.1:1",
        "partstream-test",
    ]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    version = subprocess.run(
        [*run[:3], "partstream-test", "--version"], capture_output=True, check=True, timeout=60
    )
    assert b"partstream" in version.stdout


@pytest.mark.long
def test_compose_serves_a_client() -> None:
    if not docker_answers():
        pytest.skip("no Docker answers")
    from confluent_kafka import Producer  # noqa: PLC0415 (only where Docker answers)

    compose = ["docker", "compose", "--file", str(FOLDER / "compose.yaml")]
    try:
        subprocess.run([*compose, "up", "--build", "--detach", "--wait"], check=True, timeout=900)
        producer = Producer({"bootstrap.servers": "localhost:9092,localhost:9093"})
        wait_until(lambda: len(producer.list_topics(timeout=10).brokers) == 2, within=30)
        producer.produce("t", b"v")
        assert producer.flush(30) == 0
    finally:
        subprocess.run([*compose, "down", "--volumes"], check=True, timeout=120)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    text = (FOLDER / "systemd" / "partstream-gateway.service").read_text(encoding="utf-8")
    unit = tmp_path / "partstream-gateway.service"
    # The program must exist where the unit says.
    ours = str(Path(sys.executable).parent / "partstream")
    unit.write_text(text.replace("/opt/partstream/bin/partstream", ours), encoding="utf-8")
    verify = [analyze, "verify", "--man=no", str(unit)]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in done.stderr.splitlines() if "partstream-gateway.service" in line]
    assert not said, said
    unit.write_text(text.replace("KillMode=mixed", "KilMode=mixed"), encoding="utf-8")
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert "KilMode" in done.stderr, "a mistake would be noticed"
    stop = int(re.findall(r"^TimeoutStopSec=(\d+)$", text, re.M)[0])
    assert stop * 1_000 > GatewayConfig().drain_timeout_ms
