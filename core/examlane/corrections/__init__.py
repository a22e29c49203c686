"""What was ordered or paid turns out otherwise: orders sent back and changed, refunds, exams that leave their visit."""
