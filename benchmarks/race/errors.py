"""What can go wrong with a benchmark, told to people."""

from convtrials.core.errors import ConvtrialsError


class BenchError(ConvtrialsError):
    """A benchmark cannot be run, or its results cannot be written, as asked."""
