"""What every page shares: language, log-in, permission, CSRF, and strict security headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, cast
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, current_app, g, redirect, render_template, request, session, url_for
from flask_babel import Babel, gettext
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from examlane.hospital import Hospital
from examlane.records.audit import Actor
from examlane_api import identity, problems
from examlane_api.access import Caller, at_desk, may

LANGUAGES = {"zh": "zh_Hans_CN", "en": "en"}
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)
OWN_ERRORS = ("/api/", "/soap/")


def register(app: Flask, hospital: Hospital, views: Sequence[tuple[str, Callable[..., Any], Sequence[str]]]) -> None:
    """Mount log-in and some views (path, function, methods) on an app."""
    app.config |= {"BABEL_DEFAULT_TIMEZONE": hospital.settings.zone.key, "WTF_CSRF_TIME_LIMIT": None}
    Babel(app, locale_selector=lambda: LANGUAGES[language()])
    csrf = CSRFProtect(app)
    for name, each in app.blueprints.items():
        if name != "pages":  # machines authenticate every request by themselves
            csrf.exempt(each)
    app.register_blueprint(_blueprint(views))
    app.context_processor(_common)
    app.after_request(_headers)
    app.register_error_handler(CSRFError, lambda error: _message(400))
    app.register_error_handler(404, _page_error)
    app.register_error_handler(403, _page_error)
    app.register_error_handler(405, _page_error)


def hospital() -> Hospital:
    return cast(Hospital, current_app.extensions["examlane"])


def language() -> str:
    return session.get("language", "zh") if session.get("language") in LANGUAGES else "zh"


def caller() -> Caller | None:
    """The member of staff whose session this is."""
    if "caller" not in g:
        token = session.get("token", "")
        polling = request.headers.get("HX-Source") == "div#live"  # a board left open must not keep a session alive
        g.caller = identity.session(hospital(), token, touch=not polling) if token else None
    return cast("Caller | None", g.caller)


def actor() -> Actor:
    found = caller()
    return Actor(found.name if found else "", "page", g.request_id, desk=found is not None and at_desk(found))


def page(operation: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A page for those who may do an operation; others are asked to log in, or refused."""

    def guard(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def guarded(**arguments: Any) -> Any:
            if caller() is None:
                return _to_login()
            return view(**arguments) if may(caller(), operation) else _message(403)

        guarded.operation = operation  # type: ignore[attr-defined]
        return guarded

    return guard


def _blueprint(views: Sequence[tuple[str, Callable[..., Any], Sequence[str]]]) -> Blueprint:
    made = Blueprint("pages", __name__)
    made.add_url_rule("/login", "login", login, methods=["GET", "POST"])
    made.add_url_rule("/logout", "logout", logout, methods=["POST"])
    made.add_url_rule("/language/<code>", "language", set_language)
    made.add_url_rule("/", "home", home)
    for path, view, methods in views:
        made.add_url_rule(path, view.__name__, view, methods=list(methods))
    return made


def home() -> BaseResponse:
    starts = {"page.matrix": "pages.matrix", "page.board": "pages.board", "rules.read": "pages.rules"}
    start = next((view for operation, view in starts.items() if may(caller(), operation)), "pages.board")
    return redirect(url_for(start))


def login() -> Any:
    """Name and password; the same words for every failure."""
    if request.method == "GET":
        return render_template("login.html", error=None, name="", next=request.args.get("next", ""))
    name, password = request.form.get("name", "")[:64], request.form.get("password", "")[:200]
    token = identity.log_in(hospital(), name, password)
    if token is None:
        error = gettext("用户名或密码不正确，或账号暂时锁定。")
        return render_template("login.html", error=error, name=name, next=request.form.get("next", "")), 401
    kept = session.get("language")
    session.clear()
    session["token"], session["language"] = token, kept
    return redirect(local(request.form.get("next", "")) or url_for("pages.home"))


def logout() -> BaseResponse:
    identity.log_out(hospital(), session.pop("token", ""))
    return redirect(url_for("pages.login"))


def set_language(code: str) -> BaseResponse:
    if code in LANGUAGES:
        session["language"] = code
    return redirect(local(request.args.get("next", "")) or url_for("pages.home"))


def local(target: str) -> str:
    """The target if it is a path of this site, else nothing."""
    parts = urlsplit(target)
    plain = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if plain and not parts.netloc and not parts.scheme else ""


def _to_login() -> BaseResponse:
    address = url_for("pages.login", next=local(request.full_path.rstrip("?")) if request.method == "GET" else "")
    if "HX-Request" in request.headers:
        return Response(status=401, headers={"HX-Redirect": address})
    return redirect(address)


def _common() -> dict[str, Any]:
    found = None if request.path.startswith(OWN_ERRORS) else caller()
    roles = {"administrator": gettext("管理员"), "approver": gettext("审批人")}
    user = found and {
        "name": found.title or found.name,
        "role": roles.get(found.role, gettext("登记员")),
        "administrator": may(found, "page.matrix"),
        "board": may(found, "page.board"),
        "rules": may(found, "rules.read"),
    }
    return {"language": language(), "user": user}


def _headers(answer: Response) -> Response:
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    if not request.path.startswith("/static/"):
        answer.headers["Cache-Control"] = "no-store"
        answer.headers.add("Vary", "HX-Request")
    if answer.mimetype == "text/html":
        answer.headers["Content-Security-Policy"] = POLICY
    return answer


def _page_error(error: HTTPException) -> Any:
    if request.path.startswith(OWN_ERRORS):
        return problems.of_http(error)
    return _message(error.code or 500)


def _message(code: int) -> tuple[str, int]:
    return render_template("message.html", code=code, reference=g.get("request_id", "")), code
