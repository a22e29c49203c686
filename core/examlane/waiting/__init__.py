"""The waiting list: who would take another time, which times came free, and who was offered them."""
