"""Storage: the tables, connecting, and write transactions. Nothing here knows what a booking is."""
