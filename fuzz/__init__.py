"""Hostile input, full disks, low limits and kills, in thousands: what a user or a machine may do."""
