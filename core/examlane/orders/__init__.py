"""Orders: patients, what was ordered, what is known, what is paid, and what keeps exams apart."""
