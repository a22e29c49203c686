"""The rule base: clinical rules as versioned data, read from a plugin's files, kept and signed in the database."""
