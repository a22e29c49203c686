"""Who may do what: the permission file, the routes and real requests say the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from examlane.appointments import desk
from examlane.storage.daily import NoShowRestriction
from examlane.storage.fields import epoch
from examlane.storage.models import Patient
from examlane.testing.hospital import MORNING
from examlane_api import access
from examlane_api.soap.booking import OPERATIONS

PUBLIC = {
    "static", "health", "api-docs.openapi_json", "pages.login", "pages.logout", "pages.language", "pages.home",
    "soap.soap", "fhir.metadata", "fhir.nothing",
    "api-docs.openapi_swagger_ui", "swagger-ui.asset",
}  # fmt: skip
"""What asks for no permission: log-in, language, health, what the interfaces say of themselves, what FHIR does not serve,
and SOAP, which decides per message."""
STARTS = {"group": "US-N", "starts_at": "2026-11-24T09:00:00+08:00"}
EVIDENCE = {"patient": {"kind": "card", "value": "P1"}, "kind": "consent", "outcome": "given",
            "observed_at": "2026-11-23T07:00:00+08:00"}  # fmt: skip
CARD = {"kind": "card", "value": "P1"}
DOWN = {"kind": "device_down", "resource": "US-N-1", "from": "2026-11-24T08:00:00+08:00",
        "until": "2026-11-24T12:00:00+08:00", "reason": "检修"}  # fmt: skip
EXTERNAL = {
    "system": "RIS", "number": "R1", "state": "booked", "patient": {"identifiers": [EVIDENCE["patient"]]},
    "sent_at": "2026-11-23T07:00:00+08:00", "starts_at": "2026-11-24T10:00:00+08:00", "items": ["US-THYROID"],
}  # fmt: skip
# One request an operation; {US} is the number of an ultrasound appointment.
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "order.validate": ("POST", "/orders/validate", "order"),
    "order.submit": ("POST", "/orders", "order"),
    "order.verify": ("POST", "/orders/O1/verification", {}),
    "order.read": ("GET", "/orders/O1", None),
    "order.payable": ("GET", "/orders/O1/payable", None),
    "evidence.report": ("POST", "/evidence", EVIDENCE),
    "payment.report": ("POST", "/payments", {"order": "O1", "paid_at": "2026-11-23T07:55:00+08:00"}),
    "time.search": ("GET", "/times?items=O1/1", None),
    "appointment.hold": ("POST", "/holds", {"items": ["O1/1"], **STARTS}),
    "appointment.book": ("POST", "/appointments", {"items": ["O1/1"], **STARTS}),
    "appointment.reschedule": ("POST", "/appointments/{US}/reschedule", STARTS),
    "appointment.cancel": ("POST", "/appointments/{US}/cancel", {"reason": "改期"}),
    "appointment.check_in": ("POST", "/appointments/{US}/check-in", {}),
    "appointment.call": ("POST", "/appointments/{US}/call", {}),
    "appointment.execution": ("POST", "/appointments/{US}/execution", {"state": "started"}),
    "appointment.no_show": ("POST", "/appointments/{US}/no-show", {}),
    "appointment.rebook": ("POST", "/appointments/{US}/rebooking", {}),
    "appointment.read": ("GET", "/appointments/{US}", None),
    "department.read": ("GET", "/departments", None),
    "department.switch": ("PUT", "/departments/US/mode", {"mode": "manual"}),
    "rules.read": ("GET", "/rules", None),
    "rules.propose": ("POST", "/rules/quiet.rule/versions", {"rule": {"version": "2"}, "reason": "指南更新"}),
    "rules.approve": ("POST", "/rules/quiet.rule/versions/2/approvals", {"role": "pharmacy"}),
    "rules.choose": ("PUT", "/rules/choices", {"plugin": "quiet", "choice": "a", "profile": "b"}),
    "rules.trial": ("POST", "/rules/trial", {"plugin": "quiet"}),
    "plugin.configure": ("PUT", "/departments/US/plugins/ecg/settings", {"settings": {}}),
    "department.policy": ("PUT", "/departments/US/policy", {"policy": {"grace_minutes": 20}}),
    "peers.read": ("GET", "/peers", None),
    "peers.change": ("PUT", "/peers/HIS", {"enabled": False}),
    "events.read": ("GET", "/events", None),
    "reconciliation.read": ("GET", "/reconciliations", None),
    "reconciliation.settle": ("POST", "/reconciliations/1/settlement", {"reason": "补录"}),
    "events.settle": ("POST", "/events/none/discard", {"reason": "重复"}),
    # Looked up and settled
    "evidence.read": ("GET", "/evidence?department=US", None),
    "gate.read": ("GET", "/gates?department=US", None),
    "payment.read": ("GET", "/payments?department=US", None),
    "exception.read": ("GET", "/exceptions?department=US", None),
    "exception.settle": ("POST", "/exceptions/1/closing", {"reason": "已联系"}),
    "slot.read": ("GET", "/slots?department=US&day=2026-11-24", None),
    "statistics.read": ("GET", "/statistics?department=US&from=2026-11-01&until=2026-11-30", None),
    "catalogue.read": ("GET", "/items", None),
    "plugin.read": ("GET", "/plugins", None),
    # Orders sent back, changed, refunded; patients updated and merged; wards
    "order.send_back": ("POST", "/orders/O1/return", {"reason": "资料不全"}),
    "order.void": ("POST", "/orders/O1/void", {"reason": "开错"}),
    "order.change": ("POST", "/orders/O1/changes", {"note": "左侧"}),
    "order.refundable": ("GET", "/orders/O1/refundable", None),
    "refund.report": ("POST", "/refunds", {"order": "O1", "kind": "requested", "at": "2026-11-23T07:55:00+08:00"}),
    "encounter.report": (
        "POST",
        "/encounters",
        {"encounter": "V-P1", "event": "admission", "ward": "内一", "at": "2026-11-23T07:50:00+08:00"},
    ),
    "encounter.read": ("GET", "/encounters?number=V-P1", None),
    "encounter.withdraw": (
        "POST",
        "/encounters/withdrawal",
        {"encounter": "V-P1", "event": "admission", "reason": "误操作"},
    ),
    "ward.read": ("GET", "/wards/内一/exams?day=2026-11-23", None),
    "ward.answer": ("POST", "/appointments/{US}/ward-answer", {"answer": "ready"}),
    "patient.merge": ("POST", "/patients/merges", {"keep": CARD, "merge": {"kind": "card", "value": "P2"}}),
    "patient.read": ("GET", "/patients/duplicates", None),
    "patient.relate": ("POST", "/patients/relations", {"patient": CARD, "other": CARD, "kind": "mother"}),
    "patient.update": ("POST", "/patients/updates", {"patient": CARD, "phone": "13800001234"}),
    # Arrival: walk-ins, calls, queues, bedside
    "arrival.report": ("POST", "/arrivals", {"patient": {"kind": "card", "value": "P1"}}),
    "arrival.emergency": ("POST", "/emergencies", {"department": "CLINIC", "items": ["CT-HEAD"], "reason": "车祸"}),
    "appointment.defer": ("POST", "/appointments/{US}/deferral", {"reason": "unwell"}),
    "appointment.undo": ("POST", "/appointments/{US}/undo", {"reason": "误操作"}),
    "queue.read": ("GET", "/queues/US-N", None),
    "queue.call": ("POST", "/queues/US-N/next", {}),
    "bedside.read": ("GET", "/wards/W1/bedside", None),
    "bedside.report": ("POST", "/orders/O1/items/1/bedside", {"state": "started"}),
    # No-shows and their consequences
    "no_show.withdraw": ("POST", "/appointments/{US}/no-show/withdrawal", {"reason": "误判"}),
    "check_in.batch": ("POST", "/check-ins", {"lines": [{"appointment": "NONE", "at": "2026-11-23T07:50:00+08:00"}]}),
    "check_in_source.declare": ("POST", "/departments/US/check-in-source", {"state": "offline"}),
    "restriction.read": ("GET", "/restrictions?department=US", None),
    "restriction.appeal": ("POST", "/restrictions/1/appeal", {"reason": "当天在住院"}),
    "restriction.decide": ("POST", "/restrictions/1/decision", {"decision": "lifted", "reason": "已核实"}),
    # Suspensions
    "suspension.apply": ("POST", "/suspensions", DOWN),
    "suspension.holiday": ("GET", "/suspensions/calendar", None),
    "suspension.read": ("GET", "/suspensions?department=US", None),
    # Check-up groups
    "checkup.write": (
        "POST",
        "/checkups",
        {
            "number": "C1",
            "unit": "某单位",
            "items": [{"item": "US-THYROID"}],
            "quotas": {"N": 2},
            "starts_on": "2026-11-24",
            "ends_on": "2026-11-25",
        },
    ),
    "checkup.read": ("GET", "/checkups/C1", None),
    # Going live
    "external.report": ("POST", "/external/appointments", EXTERNAL),
    "external.import": ("POST", "/external/imports", {"kind": "history", "system": "RIS", "lines": []}),
    "department.cutover": ("GET", "/departments/US/cutover", None),
    "department.differences": ("GET", "/departments/US/differences", None),
    "department.export": ("GET", "/departments/US/export", None),
    # Waiting list, reminders, call list
    "waiting.read": ("GET", "/waiting?department=US", None),
    "waiting.change": ("POST", "/waiting", {"items": ["O1/1"], "from": "2026-11-23", "until": "2026-12-01"}),
    "message.delivery": ("POST", "/messages/M1/delivery", {"state": "delivered"}),
    "call_list": ("GET", "/call-list?department=US", None),
}
CALLERS = {"his": "integration", "desk": "registrar", "console": "administrator", "pharmacist": "approver",
           "stranger": "nobody", "": ""}  # fmt: skip
FHIR = {"fhir.read", "fhir.read_slots"}
"""Asked in `fhir/test_reading.py`: the answers are FHIR's, not ours."""
PAGES = {"page.matrix": "/matrix", "page.board": "/board"}


@pytest.fixture
def number(rest: Any) -> str:
    """The number of an ultrasound appointment of order O1. Somebody else is restricted there; the desk has a task."""
    database = rest.world.database
    somebody = database.write(lambda: database.insert(Patient, name="患者丙"))
    database.write(
        lambda: database.insert(
            NoShowRestriction, patient=somebody, department="US", from_at=epoch(MORNING),
            until_at=epoch(MORNING + timedelta(days=9)), threshold=2, visits="[]",
        )
    )  # fmt: skip
    found: str = rest.booked("O1", patient="P1")["number"]
    database.write(lambda: desk.open_task(database, "no_time", "US", None, None, MORNING, timedelta(hours=4)))
    return found


def asked(rest: Any, operation: str, number: str, caller: str) -> Any:
    method, path, body = REQUESTS[operation]
    content = rest.order("O2") if body == "order" else body
    return rest.send(method, path.replace("{US}", number), content, caller=caller)


def operation_of(view: Any) -> str:
    return str(getattr(view, "operation", ""))


def test_every_route_has_an_operation_of_the_file_or_is_listed_as_public(rest: Any) -> None:
    routes = {rule.endpoint: operation_of(rest.app.view_functions[rule.endpoint]) for rule in rest.app.url_map.iter_rules()}

    assert {endpoint for endpoint, operation in routes.items() if operation not in access.operations()} == PUBLIC


def test_every_operation_of_the_file_is_used_and_every_role_is_explained(rest: Any) -> None:
    used = {operation_of(view) for view in rest.app.view_functions.values()}
    soap = {each.permission for each in OPERATIONS.values()}

    assert (used | soap) - {""} == set(access.operations())
    assert {role for row in access.operations().values() for role in row.roles} == set(CALLERS.values()) - {"nobody", ""}


def test_every_operation_has_a_row_in_this_matrix() -> None:
    assert set(REQUESTS) | set(PAGES) | FHIR == set(access.operations())


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_request_is_answered_for_the_roles_of_its_operation_only(rest: Any, number: str, operation: str) -> None:
    allowed = [caller for caller, role in CALLERS.items() if role in access.operations()[operation].roles]
    before = rest.counts()
    for caller in sorted(CALLERS.keys() - allowed):
        answer = asked(rest, operation, number, caller)
        expected = (403, "forbidden") if caller else (401, "unauthenticated")
        assert (answer.status_code, answer.json["code"]) == expected, caller
    assert rest.counts() == before

    assert allowed
    for caller in allowed:
        assert asked(rest, operation, number, caller).status_code not in (401, 403), caller


def test_a_client_of_another_department_may_not_touch_an_appointment(rest: Any, number: str) -> None:
    before = rest.counts()
    for operation in (name for name, row in access.operations().items() if row.by_department and name not in FHIR):
        answer = asked(rest, operation, number, "desk-ct")
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), operation
    assert rest.counts() == before


def test_a_registrar_of_ct_may_cancel_in_ct_but_not_in_ultrasound(rest: Any, number: str) -> None:
    head = rest.booked("O3", "CT-HEAD")["number"]

    assert rest.post(f"/appointments/{number}/cancel", {"reason": "改期"}, caller="desk-ct").status_code == 403
    assert rest.post(f"/appointments/{head}/cancel", {"reason": "改期"}, caller="desk-ct").json["state"] == "cancelled"


def test_a_registrar_of_ct_may_not_confirm_a_hold_of_ultrasound(rest: Any, number: str) -> None:
    rest.post(f"/appointments/{number}/cancel", {"reason": "改期"})
    held = rest.post("/holds", {"items": ["O1/1"], **STARTS}).json["number"]

    assert rest.post(f"/holds/{held}/booking", caller="desk-ct").status_code == 403
    assert rest.post(f"/holds/{held}/booking", caller="desk").status_code == 200


def test_a_department_cannot_be_smuggled_in_beside_another(rest: Any) -> None:
    rest.booked("O3", "CT-HEAD", "US-THYROID")
    body = {"items": ["O3/1", "O3/2"], **STARTS}

    assert rest.post("/appointments", body, caller="desk-ct").status_code == 403


def test_a_disabled_client_is_out_at_once(rest: Any) -> None:
    rest.world.database.write(
        lambda: rest.world.database.rows("UPDATE api_client SET disabled = 1 WHERE code = 'his' RETURNING id")
    )

    assert rest.get("/departments").status_code == 401


@pytest.mark.parametrize("role", ["administrator", "registrar"])
@pytest.mark.parametrize("operation", PAGES)
def test_a_page_opens_for_the_roles_of_its_operation_only(
    rest: Any, staff: Callable[..., Any], operation: str, role: str
) -> None:
    allowed = role in access.operations()[operation].roles

    assert staff(role).client.get(PAGES[operation]).status_code == (200 if allowed else 403)


def test_a_page_asks_a_stranger_to_log_in_and_comes_back(visitor: Any) -> None:
    for path in ("/matrix", "/board", "/board/US"):
        answer = visitor.client.get(path)
        assert (answer.status_code, answer.location) == (302, f"/login?next={path}")
    assert visitor.submit("/matrix/US/mode", {"mode": "manual"}).status_code == 400


def test_a_registrar_limited_to_ct_sees_the_board_of_ct_only(staff: Callable[..., Any]) -> None:
    registrar = staff("registrar", "CT")

    assert registrar.client.get("/board").status_code == 200
    assert registrar.client.get("/board/CT").status_code == 200
    assert registrar.client.get("/board/US").status_code == 404


def test_a_registrar_cannot_save_in_the_matrix_even_with_a_token(rest: Any, staff: Callable[..., Any]) -> None:
    registrar = staff("registrar")
    registrar.open("/board")

    assert registrar.submit("/matrix/US/mode", {"mode": "manual", "version": "1"}).status_code == 403
    assert rest.world.database.value("SELECT mode FROM department WHERE code = 'US'") == "automatic"


def test_a_members_session_is_no_key_to_rest_and_a_clients_key_none_to_pages(rest: Any, staff: Callable[..., Any]) -> None:
    assert staff("administrator").client.get("/api/v1/departments").status_code == 401
    assert rest.app.test_client().get("/matrix", headers=rest.authorization("console")).status_code == 302
