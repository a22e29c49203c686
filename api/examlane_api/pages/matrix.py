"""上线管理: departments × plugins with stages and modes, saved on change with who and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_babel import gettext

from examlane.domain import DepartmentMode, Stage
from examlane.errors import Conflict, NotFound, Refused
from examlane.extension import rollout
from examlane.extension.rollout import CORE, DepartmentRow, StageRow
from examlane.golive import switching
from examlane.storage.fields import epoch, maybe_instant
from examlane_api.pages.site import actor, hospital, language, page

ORDER = ["off", "shadow", "pilot", "on"]


@page("page.matrix")
def matrix() -> str:
    """The whole matrix."""
    plugins = _plugins()
    rows = [_row(row, plugins) for row in rollout.overview(hospital().database)]
    return render_template("matrix.html", plugins=plugins, rows=rows)


@page("page.matrix")
def set_stage(department: str, plugin: str) -> Any:
    """Save one cell; answers the fresh cell, or the other's value when somebody was faster."""
    before = _cell_of(department, plugin)
    kind, code = "saved", 200
    try:
        stage = Stage(request.form.get("stage", ""))
        share = int(request.form.get("share", before.share))
        rollout.set_stage(
            hospital().database, department, plugin, stage, actor(), epoch(hospital().clock.now()),
            pilot_percent=share, version=int(request.form.get("version", "0")),
        )  # fmt: skip
    except Conflict:
        kind, code = "conflict", 409
    except (Refused, ValueError):
        kind, code = "invalid", 422
    return _answer_cell(department, plugin, before, kind, code)


@page("page.matrix")
def set_mode(department: str) -> Any:
    """Save a department's mode."""
    before = _row_of(department)
    kind, code = "saved", 200
    try:
        mode = DepartmentMode(request.form.get("mode", ""))
        version = int(request.form.get("version", "0"))
        switching.switch(hospital(), department, mode, actor(), version)
    except Conflict:
        kind, code = "conflict", 409
    except ValueError:
        kind, code = "invalid", 422
    row = _row_of(department)
    undo = {"mode": before.mode, "version": row.mode_version} if kind == "saved" else None
    toast = {"kind": kind, "subject": row.name, "skipped": False, "undo": undo}
    return _answered(lambda: render_template("_mode_cell.html", row=row, toast=toast), kind, code)


def _answer_cell(department: str, plugin: str, before: SimpleNamespace, kind: str, code: int) -> Any:
    row = _row_of(department)
    cell = _cell_of(department, plugin)
    title = next(each.title for each in _plugins() if each.name == plugin)
    undo = {"stage": before.stage, "share": before.share, "version": cell.version} if kind == "saved" else None
    skipped = kind == "saved" and ORDER.index(cell.stage) - ORDER.index(before.stage) > 1
    toast = {"kind": kind, "subject": f"{row.name} · {title}", "skipped": skipped, "undo": undo}
    return _answered(lambda: render_template("_cell.html", cell=cell, toast=toast, row=row), kind, code)


def _answered(fragment: Any, kind: str, code: int) -> Any:
    if "HX-Request" in request.headers:
        return fragment(), code
    words = {"saved": gettext("已保存"), "conflict": gettext("他人刚改过，请重试"), "invalid": gettext("没有保存")}
    flash(words[kind], "message" if kind == "saved" else "error")
    return redirect(url_for("pages.matrix"))


def _plugins() -> list[SimpleNamespace]:
    found = hospital().plugins
    loaded = [
        SimpleNamespace(name=plugin.name, title=_title(plugin.title), version=plugin.version, broken=None)
        for name, plugin in sorted(found.loaded.items())
        if name != CORE
    ]
    broken = [
        SimpleNamespace(name=name, title=name, version="", broken=reason) for name, reason in sorted(found.broken.items())
    ]
    return loaded + broken


def _title(title: str) -> str:
    chinese, _, english = title.partition(" · ")
    return english if language() == "en" and english else chinese


def _row_of(department: str) -> SimpleNamespace:
    for row in rollout.overview(hospital().database):
        if row.code == department:
            return _row(row, _plugins())
    raise NotFound("department", department)


def _cell_of(department: str, plugin: str) -> SimpleNamespace:
    for cell in _row_of(department).cells:
        if cell.plugin == plugin:
            return cell  # type: ignore[no-any-return]
    raise NotFound("plugin", plugin)


def _row(row: DepartmentRow, plugins: list[SimpleNamespace]) -> SimpleNamespace:
    cells = [_cell(row, row.stages.get(plugin.name), plugin.name) for plugin in plugins]
    broken = {plugin.name for plugin in plugins if plugin.broken}
    unmet = any(cell.required and (cell.stage in ("off", "shadow") or cell.plugin in broken) for cell in cells)
    absent = any(stage.required and stage.plugin not in {p.name for p in plugins} for stage in row.stages.values())
    return SimpleNamespace(
        code=row.code, name=row.name.en if language() == "en" else row.name.zh, campus=row.campus, mode=row.mode,
        mode_version=row.version, mode_changed_by=row.changed_by or None, mode_changed_at=maybe_instant(row.changed_at),
        closed=row.mode == "automatic" and (unmet or absent), cells=cells,
    )  # fmt: skip


def _cell(row: DepartmentRow, stage: StageRow | None, plugin: str) -> SimpleNamespace:
    stage = stage or StageRow(plugin, "off", 10, False, 0, "", None)
    return SimpleNamespace(
        department=row.code, plugin=plugin, stage=stage.stage, share=stage.pilot_percent,
        changed_by=stage.changed_by or None, changed_at=maybe_instant(stage.changed_at), required=stage.required,
        version=stage.version,
    )  # fmt: skip
