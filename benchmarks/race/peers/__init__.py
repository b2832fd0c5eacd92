"""Scripts that train with our peers, each run by the Python of an environment of its own.

They import nothing of convtrials, so that they are what a user of the peer would write; what they share lies beside
them.
"""
