"""From the door to the exam: arriving, walking in, being called, missing the time."""
