"""From facts to findings, the worst first."""

from __future__ import annotations

from partstream.engine.doctor import (
    connection_rules,
    deployment_rules,
    server_rules,
    size_rules,
    topic_rules,
)
from partstream.engine.doctor.facts import Facts
from partstream.model import Finding


def examine(facts: Facts) -> list[Finding]:
    """Every rule's findings about every node and topic, the worst first."""
    of_nodes = (*server_rules.RULES, *connection_rules.RULES)
    of_all = (*deployment_rules.RULES, *size_rules.RULES, *topic_rules.RULES)
    findings = [finding for node in facts.nodes for rule in of_nodes for finding in rule(node)]
    findings += [finding for rule in of_all for finding in rule(facts)]
    named = [_named(finding, facts.namespace) for finding in findings]
    return sorted(named, key=lambda finding: -finding.severity)


def _named(finding: Finding, namespace: str) -> Finding:
    """The remedy for this namespace."""
    return Finding(
        finding.name,
        finding.severity,
        finding.where,
        finding.what,
        finding.why,
        finding.remedy.replace("<namespace>", namespace),
    )
