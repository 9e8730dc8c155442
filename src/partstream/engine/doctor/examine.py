"""From facts to findings, the worst first."""

from __future__ import annotations

from partstream.engine.doctor import server_rules, topic_rules
from partstream.engine.doctor.facts import Facts
from partstream.model import Finding


def examine(facts: Facts) -> list[Finding]:
    """Every rule's findings about every node and topic, the worst first."""
    findings = [
        finding for node in facts.nodes for rule in server_rules.RULES for finding in rule(node)
    ]
    findings += [finding for rule in topic_rules.RULES for finding in rule(facts)]
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
