"""Booked visits get another time without anybody's wish: suspensions; and seats that came free find new takers."""
