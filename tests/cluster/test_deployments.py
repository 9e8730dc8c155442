"""The compose file and the Kubernetes manifests: what they say is allowed, and fits together."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from partstream.embedded.cluster_node import ClusterNode
from tests.servers.targets import Target

FOLDER = Path(__file__).parents[2] / "cluster"
KUBERNETES = "1.30"
"""The oldest version that the manifests are checked against; the newest is checked, too."""


def documents(path: Path) -> list[dict[str, Any]]:
    return [part for part in yaml.safe_load_all(path.read_text(encoding="utf-8")) if part]


MANIFESTS = [
    document for path in sorted(FOLDER.glob("kubernetes/*.yaml")) for document in documents(path)
]


def named(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


@pytest.mark.parametrize("version", [KUBERNETES, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=named)
def test_kubernetes_takes_the_manifest(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schema_would_notice() -> None:
    manifest = documents(FOLDER / "kubernetes" / "disruption.yaml")[0]
    manifest["spec"]["maxUnavailabel"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="maxUnavailabel"):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_compose_takes_the_file() -> None:
    schema = files("check_jsonschema.builtin_schemas.vendor") / "compose-spec.json"
    (compose,) = documents(FOLDER / "compose.yaml")
    jsonschema.validate(compose, json.loads(schema.read_text(encoding="utf-8")))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compose | {"servces": {}}, json.loads(schema.read_text("utf-8")))


def test_the_manifests_fit_together() -> None:
    found = {manifest["kind"]: manifest for manifest in MANIFESTS}
    stateful, budget, job = found["StatefulSet"], found["PodDisruptionBudget"], found["Job"]
    labels = stateful["spec"]["template"]["metadata"]["labels"]
    assert stateful["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    services = [manifest for manifest in MANIFESTS if manifest["kind"] == "Service"]
    for service in services:
        assert service["spec"]["selector"].items() <= labels.items()
    headless = {each["metadata"]["name"] for each in services if "clusterIP" in each["spec"]}
    assert stateful["spec"]["serviceName"] in headless
    # The job's pod is no node: the services must not lead to it.
    job_labels = job["spec"]["template"]["metadata"]["labels"]
    assert not labels.items() <= job_labels.items()
    nodes = {env["name"]: env.get("value") for env in _container(job)["env"]}["NODES"]
    assert int(nodes) == stateful["spec"]["replicas"]

    (kustomization,) = documents(FOLDER / "kustomization.yaml")
    manifests = {str(path.relative_to(FOLDER)) for path in FOLDER.glob("kubernetes/*.yaml")}
    assert set(kustomization["resources"]) == manifests
    (config,) = kustomization["configMapGenerator"]
    scripts = {Path(name).name for name in config["files"]}
    assert all((FOLDER / name).is_file() for name in config["files"])
    assert {path.name for path in FOLDER.glob("kubernetes/scripts/*.sh")} <= scripts
    for text in (json.dumps(stateful), json.dumps(job)):
        used = {word.split('"')[0] for word in text.split("/etc/partstream/")[1:]}
        assert used <= scripts


def _container(workload: dict[str, Any]) -> dict[str, Any]:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


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
    assert sorted(kinds) == [
        "ConfigMap", "Job", "PodDisruptionBudget", "Service", "Service", "StatefulSet",
    ]  # fmt: skip


@pytest.mark.every_server
def test_servers_take_what_compose_tells_them(target: Target) -> None:
    """The options on the command line, with the recommended file under them."""
    assert target.binary is not None
    (compose,) = documents(FOLDER / "compose.yaml")
    settings: dict[str, list[str]] = {}
    for line in (FOLDER / "redis.conf").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, value = line.split(maxsplit=1)
            settings.setdefault(name, []).append(value)
    words = compose["services"]["node-1"]["command"][-1].split("--")[1:]
    options = dict(word.split(maxsplit=1) for word in words)
    assert options.keys() > {"port", "cluster-enabled", "cluster-announce-hostname"}
    ours = {"port", "dir", "maxmemory"}  # the container's
    settings |= {name: [text.strip()] for name, text in options.items() if name not in ours}
    settings["cluster-announce-hostname"] = ["localhost"]
    node = ClusterNode(0, binary=target.binary.path, config=settings)
    try:
        node.start()
        assert node.command("CONFIG", "GET", "maxmemory-policy") == [
            b"maxmemory-policy",
            b"noeviction",
        ]
        reply = node.command("CONFIG", "GET", "cluster-preferred-endpoint-type")
        assert reply == [b"cluster-preferred-endpoint-type", b"hostname"]
    finally:
        node.close()


def test_each_compose_node_has_its_own() -> None:
    """Ports, addresses and volumes: one each, and those that `join` is told."""
    (compose,) = documents(FOLDER / "compose.yaml")
    services = compose["services"]
    nodes = {name: each for name, each in services.items() if name.startswith("node-")}
    seen = set()
    for name, node in nodes.items():
        port = node["environment"]["PORT"]
        assert node["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert f"{name}:/data" in node["volumes"]
        seen.add(f"{node['networks']['cluster']['ipv4_address']}:{port}")
    assert len(seen) == len(nodes) == len(compose["volumes"]) == 6
    script = services["join"]["command"][-1]
    assert {word for word in script.split() if word.startswith("172.") and ":" in word} == seen
    assert set(services["join"]["depends_on"]) == set(nodes)
