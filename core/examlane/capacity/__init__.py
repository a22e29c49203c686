"""Capacity: what can be examined where, when it is open, and who holds which seat."""
