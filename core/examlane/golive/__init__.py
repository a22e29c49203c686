"""Going live one department at a time: what an external system booked, and the way back."""
