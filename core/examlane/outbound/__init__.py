"""What leaves the hospital's bookings: every kind of event, and the messages that stand beside a change."""
