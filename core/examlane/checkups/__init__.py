"""Check-up groups: the contract of a unit, its persons, its days."""
