"""What staff and systems look up: lists of what is stored, filtered, in a stable order, names masked."""
