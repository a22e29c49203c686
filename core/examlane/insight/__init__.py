"""Insight: what must always hold, and what the numbers say. Reads everything, changes nothing."""
