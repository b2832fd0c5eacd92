"""``python -m convtrials``: the command line, where its script is not on the path."""

from convtrials.cli.main import main

if __name__ == "__main__":
    main()
