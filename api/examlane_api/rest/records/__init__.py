"""What is told to other systems, over REST."""
