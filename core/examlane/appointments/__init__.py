"""Appointments: the one road from an order to a booked visit, and what happens to it afterwards."""
