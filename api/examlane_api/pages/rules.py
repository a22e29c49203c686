"""规则: every rule with source, version and signatures; edited, tried on last month's orders, proposed, signed, chosen."""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from flask import abort, current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from itsdangerous import URLSafeSerializer

from examlane.domain import Text
from examlane.errors import NotFound, Refused
from examlane.extension import rules as kept
from examlane.extension.plugins import Plugin
from examlane.extension.rules import Chosen
from examlane.rulebase import files
from examlane.storage.fields import maybe_instant
from examlane_api import rulebook
from examlane_api.access import may, may_sign
from examlane_api.pages import shown
from examlane_api.pages.site import actor, caller, hospital, language, page
from examlane_api.rulebook import Draft, Wanted

WRITTEN = ("version", "valid_from", "source", "zh", "en", "unknown_zh", "unknown_en")
"""The fields of a rule that the page edits beside its parameters."""
NOT_TRIED = Text("请先试算，再提交新版本", "try it first, then propose what was tried")
ORDERS = 2000
"""How many orders a dry run of a page replays at most, so that it answers in seconds."""


@page("rules.read")
def rules() -> str:
    """The rules of one plugin by subject, and its choices between sources."""
    return _listed(_plugin(request.args.get("plugin", "")))


@page("rules.read")
def rule(name: str) -> str:
    """One rule: what it says and when, its cases, its history, and its form."""
    return _one(name, request.args.get("version", ""))


@page("rules.trial")
def try_rule(name: str) -> Any:
    """Dry run of what stands in the form."""
    based_on = request.form.get("based_on", "")
    try:
        draft = _draft(name, based_on)
        version = rulebook.checked(hospital(), draft)
        found = rulebook.trial(hospital(), Wanted(version.rule.partition(".")[0], [draft], limit=ORDERS))
    except Refused as error:
        return _one(name, based_on, error=shown.spoken(error.text)), 422
    tried = _seal([name, based_on, dict(draft.table)])
    return _one(name, based_on, trial=shown.trial(found), tried=tried, draft=shown.draft(version))


@page("rules.propose")
def propose_rule(name: str) -> Any:
    """Propose what was tried, and nothing else."""
    based_on = request.form.get("based_on", "")
    try:
        draft = _draft(name, based_on)
        if not _is_sealed(request.form.get("tried", ""), [name, based_on, dict(draft.table)]):
            raise Refused("not_tried", NOT_TRIED)
        made = rulebook.propose(hospital(), draft, request.form.get("reason", ""), actor())
    except Refused as error:
        return _one(name, based_on, error=shown.spoken(error.text)), 422
    flash(gettext("已提交，等待签字：") + gettext("、").join(made.missing), "message")
    return redirect(url_for("pages.rule", name=name, version=made.version.version))


@page("rules.approve")
def sign_rule(name: str, version: str) -> Any:
    """Sign a version for one of the caller's roles."""
    role = request.form.get("role", "")
    if not may_sign(caller(), role):
        abort(403)
    try:
        state = kept.approve(hospital().database, name, version, role, actor(), hospital().clock.now())
    except Refused as error:
        flash(shown.spoken(error.text), "error")
    else:
        flash(gettext("已签字，版本已生效。") if state == kept.ACTIVE else gettext("已签字。"), "message")
    return redirect(url_for("pages.rule", name=name, version=version))


@page("rules.choose")
def try_source(plugin: str, choice: str) -> Any:
    """Dry run of another source."""
    profile = request.form.get("profile", "")
    found = rulebook.trial(hospital(), Wanted(plugin, profiles={choice: profile}, limit=ORDERS))
    tried = SimpleNamespace(choice=choice, profile=profile, seal=_seal([plugin, choice, profile]))
    return _listed(_plugin(plugin), trial=shown.trial(found), tried=tried)


@page("rules.choose")
def choose_source(plugin: str, choice: str) -> Any:
    """Follow the source that was tried."""
    profile = request.form.get("profile", "")
    if not _is_sealed(request.form.get("tried", ""), [plugin, choice, profile]):
        flash(shown.spoken(NOT_TRIED), "error")
        return redirect(url_for("pages.rules", plugin=plugin))
    found = rulebook.plugin_named(hospital(), plugin)
    kept.choose(hospital().database, plugin, found.rules, choice, profile, actor(), hospital().clock.now())
    flash(gettext("已采用，立即生效。"), "message")
    return redirect(url_for("pages.rules", plugin=plugin))


# The list


def _plugin(name: str) -> Plugin | None:
    ruled = _ruled()
    if name and name not in ruled:
        abort(404)
    return ruled[name] if name else next(iter(ruled.values()), None)


def _ruled() -> dict[str, Plugin]:
    """The plugins that have rules."""
    loaded = hospital().plugins.loaded
    return {name: plugin for name, plugin in sorted(loaded.items()) if plugin.rules.versions}


def _listed(plugin: Plugin | None, **more: Any) -> str:
    tabs = [SimpleNamespace(name=one.name, title=_title(one)) for one in _ruled().values()]
    subjects, choices = ([], []) if plugin is None else (_subjects(plugin), _choices(plugin))
    return render_template(
        "rules.html", tabs=tabs, plugin=plugin and plugin.name, subjects=subjects, choices=choices,
        waiting=sum(bool(row.waiting) for subject in subjects for row in subject.rows),
        may_choose=may(caller(), "rules.choose"), **more,
    )  # fmt: skip


def _title(plugin: Plugin) -> str:
    chinese, _, english = plugin.title.partition(" · ")
    if plugin.trusted:
        return str(gettext("全院"))
    return english if language() == "en" and english else chinese


def _subjects(plugin: Plugin) -> list[SimpleNamespace]:
    """The rules that the hospital keeps, by what they are about; the shipped ones while none were loaded."""
    book = rulebook.counting(hospital(), plugin.name)
    today = rulebook.today(hospital())
    versions: dict[str, list[SimpleNamespace]] = defaultdict(list)
    for one in kept.listed(hospital().database, plugin=plugin.name):
        short = one.version.rule.partition(".")[2]
        counting = book[short].version if short in book else ""
        versions[one.version.rule].append(shown.version(one, counting, today))
    rows: dict[str, list[SimpleNamespace]] = defaultdict(list)
    for name, found in versions.items():
        subject = plugin.rules.subjects.get(name)
        rows[shown.spoken(subject) if subject else gettext("其他")].append(_row(name, found))
    return [SimpleNamespace(title=title, rows=found) for title, found in rows.items()]


def _row(name: str, versions: list[SimpleNamespace]) -> SimpleNamespace:
    main = next((one for one in versions if one.state == "counts"), versions[-1])
    return SimpleNamespace(
        name=name, short=name.partition(".")[2], main=main, sentence=shown.sentence(main.rule),
        action=main.rule.action, parameters=shown.parameters(main.rule.table),
        waiting=[one for one in versions if one.state in ("proposed", "waiting")],
    )  # fmt: skip


def _choices(plugin: Plugin) -> list[SimpleNamespace]:
    found = kept.choices(hospital().database, plugin.name, plugin.rules)
    versions = kept.kept(hospital().database).of(plugin.name, plugin.rules) if found else ()
    return [_choice(one, versions) for one in found]


def _choice(chosen: Chosen, versions: Sequence[files.Version]) -> SimpleNamespace:
    """A choice with its profiles side by side: what each says, and the rules that follow from it."""
    cards = [
        SimpleNamespace(
            name=name, text=shown.spoken(text), chosen=name == chosen.profile, default=name == chosen.choice.default,
            rules=[_rule_of_profile(one) for one in versions if one.profile.get(chosen.name) == name],
        )
        for name, text in chosen.choice.profiles.items()
    ]  # fmt: skip
    return SimpleNamespace(
        name=chosen.name, text=shown.spoken(chosen.choice.text), cards=cards, by=chosen.by,
        at=maybe_instant(chosen.at),
    )  # fmt: skip


def _rule_of_profile(version: files.Version) -> SimpleNamespace:
    rule = files.rule_of(version)
    return SimpleNamespace(
        name=version.rule, version=version.version, sentence=shown.sentence(rule), source=rule.source,
        parameters=shown.parameters(rule.table),
    )  # fmt: skip


# One rule


def _one(name: str, wanted: str, **more: Any) -> str:
    try:
        found = rulebook.versions_of(hospital(), name)
    except NotFound:
        abort(404)
    plugin, _, short = name.partition(".")
    book = rulebook.counting(hospital(), plugin)
    counting = book[short].version if short in book else ""
    versions = [shown.version(one, counting, rulebook.today(hospital())) for one in found]
    main = _main(versions, wanted)
    return render_template(
        "rule.html", name=name, plugin=plugin, main=main, versions=versions[::-1], sentence=shown.sentence(main.rule),
        when=shown.parts(main.rule.when or {}), cases=shown.cases(main.rule), counting=counting,
        parameters=shown.parameters(main.rule.table), form=_form(main, versions),
        may_propose=may(caller(), "rules.propose"), signable=_signable(main), **more,
    )  # fmt: skip


def _main(versions: list[SimpleNamespace], wanted: str) -> SimpleNamespace:
    named = next((one for one in versions if one.name == wanted), None)
    if wanted and named is None:
        abort(404)
    counting = next((one for one in versions if one.state == "counts"), versions[-1])
    return named or counting


def _signable(main: SimpleNamespace) -> list[str]:
    """The roles for which the caller may sign the version that is shown."""
    found = caller()
    involved = {main.kept.created_by, *(one.by for one in main.kept.approvals)}
    if main.state != "proposed" or found is None or found.name in involved:
        return []
    return [role for role in main.kept.missing if may_sign(found, role)]


def _form(main: SimpleNamespace, versions: list[SimpleNamespace]) -> SimpleNamespace:
    """The form's fields: what was sent, else the shown version's with the next free number, from tomorrow on."""
    table = main.rule.table
    sent = request.form if request.method == "POST" else {}
    soonest = shown.tomorrow(rulebook.today(hospital()))
    plain = {**table, "version": _next(main.name, {one.name for one in versions}), "valid_from": soonest}
    values = {field: sent.get(field, plain.get(field, "")) for field in WRITTEN if field in plain}
    fields = [
        SimpleNamespace(**{**vars(one), "value": sent.get(f"parameter.{one.name}", one.value)})
        for one in shown.parameters(table)
        if one.editable
    ]
    fixed = [one for one in shown.parameters(table) if not one.editable]
    return SimpleNamespace(
        values=values, parameters=fields, fixed=fixed, soonest=soonest, based_on=main.name,
        reason=sent.get("reason", ""),
    )  # fmt: skip


def _next(version: str, taken: set[str]) -> str:
    """The hospital's next number after a version: 2026.1 → 2026.1-h1 → 2026.1-h2."""
    stem = version.partition("-h")[0][:28]
    return next(f"{stem}-h{number}" for number in range(1, 1000) if f"{stem}-h{number}" not in taken)


def _draft(name: str, based_on: str) -> Draft:
    """What the form changes of the version that it was made from."""
    table = next(
        (one.version.content for one in kept.listed(hospital().database, rule=name) if one.version.version == based_on),
        None,
    )
    if table is None:
        abort(404)
    changes: dict[str, Any] = {
        field: text for field in WRITTEN if (text := request.form.get(field, "").strip()) and text != table.get(field)
    }
    if parameters := _parameters(table):
        changes["parameters"] = parameters
    # What ends on a day must not hand its end on to the version that follows it.
    return Draft(name, {**changes, "valid_to": None}, based_on)


def _parameters(table: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for one in shown.parameters(table):
        sent = request.form.get(f"parameter.{one.name}")
        if sent is not None and one.editable:
            value = _number(one.name, sent) if one.number else sent.strip()
            changed |= {} if value == one.value else {one.name: value}
    return changed


def _number(name: str, text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise Refused("rule_malformed", Text(f"{name} 应为数字", f"{name} must be a number"), "/rule/parameters")


# What was tried


def _seal(tried: list[Any]) -> str:
    """Proof that exactly this was tried: only that may be proposed."""
    sealed = URLSafeSerializer(current_app.secret_key or "", "tried rule").dumps([actor().name, *tried])
    return str(sealed)


def _is_sealed(seal: str, tried: list[Any]) -> bool:
    return hmac.compare_digest(seal.encode(), _seal(tried).encode())
