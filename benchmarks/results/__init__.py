"""The tables and pictures of docs/results.md, from the published studies in docs/results/.

From the root of the repository: ``python -m benchmarks.results [--check]``.
"""
