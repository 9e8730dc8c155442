"""Replay real flights through a group of consumers, and kill one on the way.

    python examples/flights/run.py [--url URL]

What it does is in the package `partstream.demo`, as it is behind `partstream demo`, too.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from partstream.demo.run import run_demo


def main() -> int:
    """Run the demo; 0 if all is proved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("url", nargs="?", help="where Redis is (default: a private server)")
    where.add_argument("--url", dest="url_option", metavar="URL", help="the same")
    parser.add_argument("--rate", type=float, default=2_000, help="flights a second")
    arguments = parser.parse_args()
    url = arguments.url or arguments.url_option
    return 0 if run_demo(url, rate=arguments.rate, console=Console()) else 1


if __name__ == "__main__":
    sys.exit(main())
