"""What was ordered, paid or recorded turns out otherwise: orders sent back and changed, refunds, patients, wards."""
