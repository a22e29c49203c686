"""The hospital over REST: departments, plugins, items, places, rosters and slots."""
