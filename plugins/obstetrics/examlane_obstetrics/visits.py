"""The clinic's own exams: visits with gestational windows, the glucose test with its draws, and preparation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from examlane import (
    GroupView,
    Need,
    OrderItemView,
    OrderView,
    Preparation,
    Segment,
    ServiceView,
    Text,
    Visit,
    VisitOption,
)
from examlane_obstetrics import gestation
from examlane_obstetrics.parameters import number, rule_data


def visits(
    orders: Sequence[OrderView], groups: Sequence[GroupView], now: datetime, settings: Mapping[str, Any]
) -> list[Visit]:
    """One visit an item, within its gestational window."""
    roles = {group.code: group.role for group in groups}
    return [
        _visit(item, gestation.first_day(order, now, settings), roles, settings)
        for order in orders
        for item in order.items
    ]


def _visit(item: OrderItemView, day0: date | None, roles: Mapping[str, str], settings: Mapping[str, Any]) -> Visit:
    limits = gestation.Window() if day0 is None else gestation.window(item, day0, settings)
    return Visit(
        key=item.key,
        department=item.item.department,
        items=(item.key,),
        options=tuple(_option(item, service, roles, settings) for service in item.services),
        earliest=limits.opens,
        latest=limits.closes,
        fasting=is_glucose_test(item) or bool(item.item.attributes.get("fasting_hours")),
    )


def is_glucose_test(item: OrderItemView) -> bool:
    return bool(item.item.attributes.get("ogtt"))


def _option(
    item: OrderItemView, service: ServiceView, roles: Mapping[str, str], settings: Mapping[str, Any]
) -> VisitOption:
    needs = (Need(roles.get(service.group, "device"), service.group),)
    segments = _draws(needs, settings) if is_glucose_test(item) else (Segment("exam", service.minutes, needs),)
    return VisitOption(service.group, service.campus, service.zone, segments)


def _draws(needs: tuple[Need, ...], settings: Mapping[str, Any]) -> tuple[Segment, ...]:
    minutes = number("glucose_draw_minutes", settings)
    return tuple(
        Segment(draw["name"], minutes, needs, draw["after_min"], draw["after_max"])
        for draw in rule_data()["glucose_draw"]
    )


def preparations(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> list[Preparation]:
    if not any(is_glucose_test(item) for item in items):
        return []
    return [_diet(settings), _fasting(settings), _draw_times(settings)]


def _diet(settings: Mapping[str, Any]) -> Preparation:
    days, carbohydrate = number("glucose_diet_days", settings), number("glucose_carbohydrate", settings)
    text = Text(
        f"检查前 {days} 天正常饮食，每天碳水化合物不少于 {carbohydrate} 克",
        f"eat normally for {days} days before the test, with at least {carbohydrate} g of carbohydrate a day",
    )
    return Preparation("obstetrics.glucose_diet", text, timedelta(days=days))


def _fasting(settings: Mapping[str, Any]) -> Preparation:
    hours = number("glucose_fasting_hours", settings)
    text = Text(f"检查前空腹至少 {hours} 小时", f"fast for at least {hours} hours before the test")
    return Preparation("obstetrics.glucose_fasting", text, timedelta(hours=hours), hours)


def _draw_times(settings: Mapping[str, Any]) -> Preparation:
    load, minutes = rule_data()["glucose_load"]["value"], number("glucose_drink_minutes", settings)
    text = Text(
        f"{minutes} 分钟内喝完糖水（{load}），从喝第一口起计时；全程静坐，不进食、不吸烟，按时抽血三次",
        f"drink the glucose ({load}) within {minutes} minutes; time counts from the first sip: sit still, "
        "neither eat nor smoke, and come to all three draws",
    )
    return Preparation("obstetrics.glucose_draws", text)
