"""The tables of a hospital's ordinary day: what changes between order and examination."""

from __future__ import annotations

# Orders sent back, changed, refunded; patients updated and merged; wards

# Arrival: walk-ins, calls, queues, bedside

# No-shows and their consequences

# Suspensions

# Check-up groups

# Going live: what an external system booked

# Waiting list, withheld seats

# Reminders and the call list

# Context providers
