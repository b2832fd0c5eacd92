"""Small things known to all rooms and knowing none: random streams, errors, atomic files, progress."""
