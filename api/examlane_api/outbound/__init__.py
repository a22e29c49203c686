"""How each kind of peer is told: an event as a webhook, a patient's message, a file, a platform's documents."""
