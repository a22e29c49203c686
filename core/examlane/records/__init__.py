"""Records: who did what, what peers must hear, which requests were answered, and which jobs are due."""
