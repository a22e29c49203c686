"""Due work as rows: patients to plan, and periodic ticks taken by compare-and-set.

Our own small loop instead of a queue library: measured, huey loses the running task on a kill and runs every
periodic task twice with two consumers, while a row that is deleted by the transaction that did the work cannot.
"""

from __future__ import annotations

from examlane.storage.database import Database

MARK_DUE = """INSERT INTO booking_due (patient_id, due_at, attempts, generation) VALUES (?, ?, 0, 1)
ON CONFLICT (patient_id) DO UPDATE SET due_at = excluded.due_at, attempts = 0, generation = booking_due.generation + 1
RETURNING generation"""
TAKE_TICK = """INSERT INTO tick (name, due_at) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET due_at = excluded.due_at WHERE tick.due_at <= ? RETURNING id"""


def mark_due(database: Database, patient: int, due_at: int) -> None:
    """Remember that a patient's plan is due; inside the transaction that stored the fact."""
    database.rows(MARK_DUE, patient, due_at)


def due_patients(database: Database, now: int, limit: int = 50) -> list[int]:
    rows = database.rows("SELECT patient_id FROM booking_due WHERE due_at <= ? ORDER BY due_at, id LIMIT ?", now, limit)
    return [row[0] for row in rows]


def done(database: Database, patient: int, generation: int | None) -> None:
    """Delete the marking that a plan answered; a newer one stays."""
    if generation is not None:
        database.rows("DELETE FROM booking_due WHERE patient_id = ? AND generation = ? RETURNING id", patient, generation)


def postpone(database: Database, patient: int, due_at: int) -> int:
    """Try a patient later; returns how often it was tried."""
    rows = database.rows(
        "UPDATE booking_due SET due_at = ?, attempts = attempts + 1 WHERE patient_id = ? RETURNING attempts",
        due_at, patient,
    )  # fmt: skip
    return int(rows[0][0]) if rows else 0


def take_tick(database: Database, name: str, now: int, every: int) -> bool:
    """Whether this process may run a periodic job now; at most one process gets each turn."""
    return bool(database.write(lambda: database.rows(TAKE_TICK, name, now + every, now)))
