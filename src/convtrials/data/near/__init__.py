"""Near-duplicates: pictures that show the same with other pixels."""
