"""The recipe: everything that decides what is learned, besides dataset and seed."""
