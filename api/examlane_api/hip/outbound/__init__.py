"""What a platform is told: read from the hospital, written as its documents, sent and acknowledged."""
