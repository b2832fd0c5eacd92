"""Small modules that every layer uses and that use none: random streams, errors, atomic files, progress."""
