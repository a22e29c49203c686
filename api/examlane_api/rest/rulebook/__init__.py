"""Clinical rules over REST: versions, signatures, choices, dry runs, and how exams relate."""
