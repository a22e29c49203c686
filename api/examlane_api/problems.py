"""Errors as RFC 9457 problems: one table from the core's errors to HTTP, one shape for every answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

import structlog
from flask import Response, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from examlane.domain import Text
from examlane.errors import Conflict, ExamlaneError, InvalidInput, NotFound, Refused, Unavailable

TITLES = {
    400: Text("请求格式错误", "The request cannot be read"),
    401: Text("请先认证", "Please authenticate"),
    403: Text("没有权限", "Not allowed"),
    404: Text("没有找到", "Not found"),
    405: Text("不支持的方法", "Method not allowed"),
    409: Text("与当前状态冲突", "In conflict with the present state"),
    412: Text("版本已更新", "Changed since it was read"),
    413: Text("内容过大", "Too large"),
    415: Text("不支持的内容类型", "Unsupported media type"),
    422: Text("内容不符合要求", "The content is not acceptable"),
    429: Text("请求过于频繁", "Too many requests"),
    500: Text("系统内部错误", "Internal error"),
    503: Text("系统繁忙，请稍后重试", "Busy: please try again later"),
}
REFUSED_CONTENT = frozenset({
    "idempotency_key_reused", "percent_out_of_range", "no_items", "rule_malformed", "reason_missing", "not_in_future",
    "role_unknown",
})  # fmt: skip
MOST_ERRORS = 100
LONGEST_INSTANCE = 500
LOG = structlog.get_logger("examlane.api")


def problem(
    status: int,
    code: str,
    text: Text | None = None,
    errors: Iterable[dict[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem answer; never a stack trace, never what was sent."""
    title = TITLES.get(status, TITLES[400])
    detail = text or title
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": title.en,
        "status": status,
        "code": code,
        "detail": detail.en,
        "message": {"zh": detail.zh, "en": detail.en},
        "instance": quote(request.path)[:LONGEST_INSTANCE],
    }
    if parts := list(errors):
        body["errors"] = parts
    answer = Response(current_app.json.dumps(body), status, mimetype="application/problem+json")
    answer.headers.extend(headers or {})
    return answer


def of_error(error: ExamlaneError) -> Response:
    """The problem of one of the core's errors."""
    if isinstance(error, InvalidInput):
        return problem(422, "invalid_input", errors=[part(pointer, text) for pointer, text in error.problems])
    if isinstance(error, NotFound):
        return problem(404, "not_found", Text(f"没有这个{error.subject}", f"no such {error.subject}"))
    if isinstance(error, Conflict):
        status = 412 if error.code == "version_conflict" else 409
        return problem(status, error.code, error.text, _parts(error))
    if isinstance(error, Refused):
        status = 422 if error.code in REFUSED_CONTENT else 409
        return problem(status, error.code, error.text, _parts(error))
    if isinstance(error, Unavailable):
        return problem(503, "unavailable", headers={"Retry-After": "2"})
    LOG.error("unexpected", error=type(error).__name__)
    return problem(503, "try_again", headers={"Retry-After": "1"})


def of_http(error: HTTPException) -> Response:
    """The problem of an HTTP error; validation messages become pointers."""
    status = error.code or 500
    messages = getattr(error, "data", None) or {}
    errors = list(islice(pointers(messages.get("messages", {})), MOST_ERRORS))
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers = {"Allow": ", ".join(sorted(error.valid_methods))}
    return problem(status, _code(status), errors=errors, headers=headers)


def part(pointer: str, text: Text) -> dict[str, str]:
    return {"pointer": pointer, "detail": text.en, "detail_zh": text.zh}


def _parts(error: Refused) -> list[dict[str, str]]:
    return [
        part(each.pointer, each.text) | {"code": each.code} | ({"rule": each.rule} if each.rule else {})
        for each in error.objections
        if each.pointer or each.rule
    ]


def _code(status: int) -> str:
    names = {400: "bad_request", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}
    names |= {413: "too_large", 415: "unsupported_media_type", 422: "invalid_input", 500: "internal"}
    return names.get(status, f"http_{status}")


def pointers(messages: Any, at: str = "") -> Iterable[dict[str, str]]:
    """Marshmallow's nested messages as JSON pointers; the place they came from (json, query) is left out."""
    if isinstance(messages, dict):
        for name, value in messages.items():
            step = "" if not at and name in ("json", "query", "headers", "path") else f"/{_escaped(name)}"
            yield from pointers(value, at if name == "_schema" else at + step)
    else:
        for message in messages if isinstance(messages, list) else [messages]:
            words = str(message)
            yield {"pointer": at or "/", "detail": words, "detail_zh": CHINESE.get(words, words)}


def _escaped(name: Any) -> str:
    return quote(str(name).replace("~", "~0").replace("/", "~1"), safe="~")[:100]


CHINESE = {
    "Missing data for required field.": "必填",
    "Unknown field.": "未知字段",
    "Field may not be null.": "不能为空",
    "Not a valid string.": "应为文本",
    "Not a printable text.": "含有不可见字符",
    "Not a telephone number.": "电话号码不正确",
    "Not a whole number.": "应为整数",
    "Not true or false.": "应为 true 或 false",
    "Not a date such as 2026-11-23.": "日期格式应为 2026-11-23",
    "Not an instant such as 2026-11-23T08:00:00+08:00.": "时间格式应为 2026-11-23T08:00:00+08:00",
    "Not a valid aware datetime.": "时间须带时区",
    "Not a number, true or false, or a short text.": "应为数字、true/false 或简短文本",
    "Not within 2000 to 2099.": "须在 2000 至 2099 年之间",
    "Not within 1900 to 2100.": "须在 1900 至 2100 年之间",
    "An order number has neither / nor #.": "申请单号不能含 / 和 #",
    "Not a valid list.": "应为列表",
    "Not a valid mapping type.": "应为对象",
    "Invalid input type.": "应为对象",
    "Invalid value.": "取值不正确",
    "Not a valid number.": "应为数字",
    "Only ASCII letters, digits and . _ : / # - are allowed.": "只能用英文字母、数字和 . _ : / # -",
}
