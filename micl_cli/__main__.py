"""The entry point of ``python -m micl_cli``, which is the same as ``micl``."""

from micl_cli.cli.main import main

if __name__ == "__main__":
    main()
