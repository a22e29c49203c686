"""Rules: read, tried on last month's orders, proposed, signed; and the choice between contradicting sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import abort, g

from examlane.domain import Text
from examlane.extension import rules
from examlane.extension.rules import KeptVersion
from examlane.records.receipts import RequestKey
from examlane_api import access, problems, rulebook
from examlane_api.rest.api import actor, answers, blueprint, hospital, operation, write
from examlane_api.rest.paging import paged
from examlane_api.rest.rulebook import schemas
from examlane_api.rulebook import Draft, Wanted

blp = blueprint("rules", "Clinical rules: versions, signatures, sources, dry runs")
MAY_NOT_SIGN = Text("您不能代表此角色签字", "you may not sign for this role")


@blp.route("/rules", methods=["GET"])
@blp.arguments(schemas.RuleQuery(), location="query")
@blp.response(200, schemas.RulesAnswer())
@operation("rules.read")
def list_rules(query: dict[str, Any]) -> Mapping[str, Any]:
    """Every version of every rule that the hospital keeps, page by page."""

    def read(**page: Any) -> list[KeptVersion]:
        return rules.listed(hospital().database, plugin=query["plugin"] or "", state=query["state"] or "", **page)

    return paged("rules", query, read, answers().rule_version)


@blp.route("/rules/<number:rule>", methods=["GET"])
@blp.response(200, schemas.RuleAnswer())
@operation("rules.read")
def read_rule(rule: str) -> Mapping[str, Any]:
    """One rule with all its versions, their signatures and cases, and the version that counts today."""
    found = rulebook.versions_of(hospital(), rule)
    plugin, _, short = rule.partition(".")
    book = rulebook.counting(hospital(), plugin)
    return {
        "rule": rule,
        "counts": book[short].version if short in book else None,
        "versions": [answers().rule_version(one) for one in found],
    }


@blp.route("/rules/<string:rule>/versions/<string:version>", methods=["GET"])
@blp.response(200, schemas.WholeVersionAnswer())
@operation("rules.read")
def read_version(rule: str, version: str) -> Mapping[str, Any]:
    """One version of a rule."""
    return answers().rule_version(rules.found(hospital().database, rule, version))


@blp.route("/rules/<string:rule>/versions", methods=["POST"])
@blp.arguments(schemas.Proposal())
@blp.response(200, schemas.WholeVersionAnswer())
@operation("rules.propose", writes=True)
def propose(body: dict[str, Any], rule: str) -> Mapping[str, Any]:
    """Propose a new version: changed fields, or a whole rule. It counts when every role it names has signed."""
    draft = Draft(rule, body["rule"], body["based_on"], body["whole"])

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().rule_version(rulebook.propose(hospital(), draft, body["reason"], actor(), key))

    return write("rules.propose", body, act)


@blp.route("/rules/<string:rule>/versions/<string:version>/approvals", methods=["POST"])
@blp.arguments(schemas.Approval())
@blp.response(200, schemas.WholeVersionAnswer())
@operation("rules.approve", writes=True)
def approve(body: dict[str, Any], rule: str, version: str) -> Mapping[str, Any]:
    """Sign a proposed version for a role that is listed for the caller; nobody signs his own, or for two roles."""
    if not access.may_sign(g.caller, body["role"]):
        abort(problems.problem(403, "may_not_sign", MAY_NOT_SIGN, [problems.part("/role", MAY_NOT_SIGN)]))

    def act(key: RequestKey) -> Mapping[str, Any]:
        rules.approve(hospital().database, rule, version, body["role"], actor(), hospital().clock.now(), key)
        return answers().rule_version(rules.found(hospital().database, rule, version))

    return write("rules.approve", body, act)


@blp.route("/rules/trial", methods=["POST"])
@blp.arguments(schemas.Trial())
@blp.response(200, schemas.TrialAnswer())
@operation("rules.trial")
def trial(body: dict[str, Any]) -> Mapping[str, Any]:
    """Dry run: which orders of the last days changed rules or profiles would have decided differently. Nothing is stored."""
    drafts = [Draft(one["id"], one["rule"], one["based_on"], one["whole"]) for one in body.pop("drafts")]
    return answers().trial(rulebook.trial(hospital(), Wanted(drafts=drafts, **body)))


@blp.route("/rules/choices", methods=["GET"])
@blp.response(200, schemas.ChoicesAnswer())
@operation("rules.read")
def list_choices() -> Mapping[str, Any]:
    """Every choice between contradicting sources, with the profile that counts and who chose it."""
    return _choices()


@blp.route("/rules/choices", methods=["PUT"])
@blp.arguments(schemas.Choice())
@blp.response(200, schemas.ChoicesAnswer())
@operation("rules.choose")
def choose(body: dict[str, Any]) -> Mapping[str, Any]:
    """Follow one of the sources, at once and for the whole hospital; a PUT is repeatable by itself."""
    plugin = rulebook.plugin_named(hospital(), body["plugin"])
    rules.choose(
        hospital().database, plugin.name, plugin.rules, body["choice"], body["profile"], actor(), hospital().clock.now()
    )
    return _choices()


def _choices() -> Mapping[str, Any]:
    plugins = sorted(hospital().plugins.loaded.items())
    found = [one for name, plugin in plugins for one in rules.choices(hospital().database, name, plugin.rules)]
    return {"choices": [answers().choice(one) for one in found]}
