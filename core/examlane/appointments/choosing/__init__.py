"""Times that are not planned but chosen: by people, for people who are here, for visits that must move, for who waits."""

from examlane.appointments.choosing.by_hand import Time, book, reschedule, times
from examlane.appointments.choosing.elsewhere import Moving, moving
from examlane.appointments.choosing.offered import Waiting, first_fit, take_offered
from examlane.appointments.choosing.today import as_visits, book_today, come_back, take_next

__all__ = [
    "Moving",
    "Time",
    "Waiting",
    "as_visits",
    "book",
    "book_today",
    "come_back",
    "first_fit",
    "moving",
    "reschedule",
    "take_next",
    "take_offered",
    "times",
]
