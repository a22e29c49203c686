"""Booked visits get another time without anybody's wish: devices that are down, absent people, moved holidays."""
