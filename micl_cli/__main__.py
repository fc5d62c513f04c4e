"""``python -m micl_cli`` is ``micl``."""

from micl_cli.cli.main import main

if __name__ == "__main__":
    main()
