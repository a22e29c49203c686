"""How exams relate, over REST: the interval rules that count today, the hospital's own and the departments'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import Schema, fields

from examlane.domain import IntervalRule, Selector
from examlane.extension.plugins import CORE
from examlane.rulebase.intervals import interval_of
from examlane_api import rulebook
from examlane_api.answers import words
from examlane_api.rest.api import blueprint, hospital, operation
from examlane_api.rest.fields import Code
from examlane_api.rest.paging import CodePage, Paged, paged
from examlane_api.rest.schemas import Words

blp = blueprint("intervals", "How exams relate")


class IntervalQuery(CodePage):
    """`item`: only rules that speak of this item."""

    plugin = Code(64, load_default=None)
    item = Code(64, load_default=None)


class IntervalAnswer(Schema):
    """`relation`: exclude, before, lag, same_day, count, merge or replace. `severity`: block, confirm or hint.

    `first` and `second` say which exams. A department's own rules may be stricter for a patient than they are here.
    """

    rule = fields.String()
    version = fields.String()
    plugin = fields.String()
    relation = fields.String()
    severity = fields.String()
    first = fields.Dict()
    second = fields.Dict()
    after_minutes = fields.Integer()
    before_minutes = fields.Integer()
    within_minutes = fields.Integer()
    limit = fields.Integer()
    text = fields.Nested(Words)
    source = fields.String()


class IntervalsAnswer(Paged):
    intervals = fields.List(fields.Nested(IntervalAnswer))


@blp.route("/interval-rules", methods=["GET"])
@blp.arguments(IntervalQuery(), location="query")
@blp.response(200, IntervalsAnswer())
@operation("catalogue.read")
def list_intervals(query: dict[str, Any]) -> Mapping[str, Any]:
    """Exclusions, distances and order between exams, by rule."""
    item = hospital().catalogues.current().item(query["item"]) if query["item"] else None
    found = {
        rule.rule: rule
        for rule in _rules(query["plugin"])
        if item is None or rule.first.matches(item) or rule.second.matches(item)
    }

    def read(after: str, limit: int) -> list[IntervalRule]:
        return [found[name] for name in sorted(found) if name > after][:limit]

    return paged("intervals", query, read, _interval, by="rule")


def _rules(plugin: str) -> Iterator[IntervalRule]:
    names = [plugin] if plugin else [*hospital().plugins.loaded, CORE]
    for name in names:
        for rule in rulebook.counting(hospital(), name).rules.values():
            if "relation" in (rule.table.get("data") or {}):
                yield interval_of(rule)


def _interval(rule: IntervalRule) -> dict[str, Any]:
    return {
        "rule": rule.rule, "version": rule.version, "plugin": rule.rule.partition(".")[0],
        "relation": rule.relation.value, "severity": rule.severity.value, "first": _selector(rule.first),
        "second": _selector(rule.second), "after_minutes": int(rule.after.total_seconds() // 60),
        "before_minutes": int(rule.before.total_seconds() // 60),
        "within_minutes": int(rule.within.total_seconds() // 60), "limit": rule.limit, "text": words(rule.text),
        "source": rule.source,
    }  # fmt: skip


def _selector(selector: Selector) -> dict[str, Any]:
    named = {name: getattr(selector, name) for name in ("item", "modality", "body_part", "department")}
    return {**{name: value for name, value in named.items() if value}, **dict(selector.attributes)}
