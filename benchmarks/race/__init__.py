"""The race: our training engine and its peers side by side, on the machine that it runs on.

From the root of the repository: ``python -m benchmarks.race --help``.
"""
