"""The command's first lines: `--version` answers before anything heavy is imported."""

import sys

from homeostat import __version__


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"homeostat {__version__}\n")
        return
    from homeostat.cli.main import run  # click and its commands cost 100 ms that --version must not pay

    run()


if __name__ == "__main__":
    main()
