"""One patient's exams on one day as an abstract problem: stated, searched exactly, and verified. Knows no hospital."""
