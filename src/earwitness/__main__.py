"""Run the command line as ``python -m earwitness``."""

from earwitness.cli.app import main

if __name__ == "__main__":
    main()
