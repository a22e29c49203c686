"""Every table of the schema, referenced ones first."""

from __future__ import annotations

from examlane.storage import daily, exchange, ledger, models, people
from examlane.storage.models import Table

TABLES: tuple[type[Table], ...] = tuple(
    table
    for module in (models.__dict__, ledger.__dict__, exchange.__dict__, people.__dict__, daily.__dict__)
    for table in module.values()
    if isinstance(table, type) and issubclass(table, Table) and table is not Table
    if table.__module__ == module["__name__"]
)
