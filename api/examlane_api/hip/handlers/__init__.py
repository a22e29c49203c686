"""What documents do here, by what they are about. Handlers translate; the core decides."""
