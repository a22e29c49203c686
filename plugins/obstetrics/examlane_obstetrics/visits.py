"""The clinic's own exams as visits: within their gestational windows, the glucose test with its draws, and preparation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from examlane import GroupView, Need, OrderItemView, Preparation, RuleBook, Segment, ServiceView, Visit, VisitOption
from examlane_obstetrics import glucose
from examlane_obstetrics.windows import Pregnancy


def visits(pregnancy: Pregnancy, groups: Sequence[GroupView]) -> list[Visit]:
    """One visit an item of the order."""
    roles = {group.code: group.role for group in groups}
    return [_visit(item, pregnancy, roles) for item in pregnancy.order.items]


def _visit(item: OrderItemView, pregnancy: Pregnancy, roles: Mapping[str, str]) -> Visit:
    window, is_test = pregnancy.window(item), glucose.is_test(item)
    return Visit(
        key=item.key,
        department=item.item.department,
        items=(item.key,),
        options=tuple(_option(service, is_test, roles, pregnancy.rules) for service in item.services),
        earliest=window.opens,
        latest=window.closes,
        fasting=is_test or bool(item.item.attributes.get("fasting_hours")),
        gaps=is_test,
        starts_until=glucose.latest_start(pregnancy.rules) if is_test else None,
    )


def _option(service: ServiceView, is_test: bool, roles: Mapping[str, str], rules: RuleBook) -> VisitOption:
    needs = (Need(roles.get(service.group, "device"), service.group),)
    segments = glucose.draws(needs, rules) if is_test else (Segment("exam", service.minutes, needs),)
    return VisitOption(service.group, service.campus, service.zone, segments)


def preparations(items: Sequence[OrderItemView], rules: RuleBook) -> list[Preparation]:
    """The glucose test's, and a meal before the exams that follow one."""
    steps = glucose.preparations(rules) if any(map(glucose.is_test, items)) else []
    meal = rules["meal"]
    facts = ({"after_meal": bool(item.item.attributes.get("after_meal"))} for item in items)
    if any(meal.decide(each) == meal.action for each in facts):
        steps.append(Preparation(meal.id, meal.text()))
    return steps
