"""The recipe: everything that decides what is learned, except dataset and seed."""
