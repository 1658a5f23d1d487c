"""``python -m fame_cli`` is ``fame``."""

from fame_cli.cli.start import main

if __name__ == "__main__":
    main()
