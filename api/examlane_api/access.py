"""May this caller do that? One decision for REST, SOAP, pages and the command line; deny by default."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: a client or a member of staff, with one role; no departments listed means all.

    Of an approver `departments` are the roles for which he signs rules; none listed means none.
    """

    name: str
    role: str
    channel: str
    departments: frozenset[str] = frozenset()
    title: str = ""
    scopes: frozenset[str] = frozenset()
    per_minute: int = 0

    def within(self, operation: str) -> bool:
        """Whether an operation lies within the caller's scopes: named whole, or by its area (`appointment.*`)."""
        return not self.scopes or not self.scopes.isdisjoint((operation, operation.partition(".")[0] + ".*"))


@dataclass(frozen=True, slots=True)
class Operation:
    roles: frozenset[str]
    by_department: bool


@cache
def operations() -> Mapping[str, Operation]:
    """The permission file, by operation."""
    content = tomllib.loads(files("examlane_api").joinpath("permissions.toml").read_text(encoding="utf-8"))
    return {
        name: Operation(frozenset(row["roles"]), row.get("scope") == "department")
        for name, row in content["operations"].items()
    }


def is_scope(name: str) -> bool:
    """Whether a name is an operation of the permission file, or an area of it with `.*`."""
    return name in operations() or name in {each.partition(".")[0] + ".*" for each in operations()}


def may(caller: Caller | None, operation: str, department: str = "") -> bool:
    """Whether a caller may do an operation, on things of a department where the operation is bound to one."""
    row = operations().get(operation)
    if caller is None or row is None or caller.role not in row.roles or not caller.within(operation):
        return False
    bound = row.by_department and caller.departments and department
    return not bound or department in caller.departments


def at_desk(caller: Caller) -> bool:
    """Whether a member of staff is asking, who sees the patient: not a phone, a kiosk, or the system behind them."""
    return caller.role in ("registrar", "administrator")


def may_sign(caller: Caller | None, role: str) -> bool:
    """Whether a caller may sign rules for a role (pharmacy, radiology …): one that is listed for him, never all."""
    return caller is not None and may(caller, "rules.approve") and role in caller.departments
