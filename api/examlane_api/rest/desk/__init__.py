"""What people look up and settle over REST: exceptions, evidence, gates, payments, itineraries, figures."""
