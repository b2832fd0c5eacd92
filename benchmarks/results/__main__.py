"""``python -m benchmarks.results``, from the root of the repository."""

from benchmarks.results.page import main

if __name__ == "__main__":
    main()
