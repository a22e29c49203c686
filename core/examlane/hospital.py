"""The wired application: one hospital's database, clock, settings and plugins, put together in one place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from examlane.capacity.calendar import Calendar
from examlane.capacity.catalogue import Catalogues
from examlane.clock import Clock, SystemClock
from examlane.extension import earliest, health
from examlane.extension.dispatch import Dispatcher
from examlane.extension.plugins import Plugins
from examlane.extension.rollout import CORE, Rollouts
from examlane.settings import Settings
from examlane.storage.database import Database


@dataclass(frozen=True)
class Hospital:
    database: Database
    clock: Clock
    settings: Settings
    plugins: Plugins
    dispatcher: Dispatcher
    catalogues: Catalogues
    rollouts: Rollouts

    def close(self) -> None:
        """End the threads and this thread's connection."""
        self.dispatcher.close()
        self.database.close()

    @property
    def calendar(self) -> Calendar:
        return self.catalogues.current().calendar


def open_hospital(settings: Settings, clock: Clock | None = None, plugins: Plugins | None = None) -> Hospital:
    """Connect a hospital. Without `plugins`, those of the installed distributions are discovered."""
    database = Database(settings.database)
    found = Plugins().discover() if plugins is None else plugins
    if CORE not in found.loaded:
        found.register(CORE, earliest, trusted=True)
    watch = clock or SystemClock()
    return Hospital(
        database=database,
        clock=watch,
        settings=settings,
        plugins=found,
        dispatcher=Dispatcher(
            settings.hook_seconds, thread_ends=database.close, turned=partial(health.note, database, watch)
        ),
        catalogues=Catalogues(database, settings.zone),
        rollouts=Rollouts(database, found, settings.pilot_salt, {"time_zone": settings.zone.key}),
    )
