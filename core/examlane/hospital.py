"""The wired application: one hospital's database, clock, settings and plugins, put together in one place."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from examlane.capacity.calendar import Calendar
from examlane.capacity.catalogue import Catalogues
from examlane.clock import Clock, SystemClock
from examlane.extension import earliest, health
from examlane.extension.dispatch import Breaker, Dispatcher
from examlane.extension.plugins import Plugins
from examlane.extension.rollout import CORE, Rollouts
from examlane.orders.context import Connect, Providers
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
    context: Providers

    def close(self) -> None:
        """End the threads and this thread's connection."""
        self.dispatcher.close()
        self.database.close()

    @property
    def calendar(self) -> Calendar:
        return self.catalogues.current().calendar


def open_hospital(
    settings: Settings, clock: Clock | None = None, plugins: Plugins | None = None,
    providers: Mapping[str, Connect] = MappingProxyType({}),
) -> Hospital:  # fmt: skip
    """Connect a hospital. Without `plugins`, those of the installed distributions are discovered.

    `providers` makes a context provider of each kind; which of them are asked, the table of providers says.
    """
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
        context=Providers(providers, partial(Breaker, time.monotonic)),
    )
