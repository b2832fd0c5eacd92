"""``python -m benchmarks.race``, from the root of the repository."""

from benchmarks.race.command import main

if __name__ == "__main__":
    main()
