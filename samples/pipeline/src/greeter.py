"""Greets whoever is named on the command line."""

import sys


def greet(name: str) -> str:
    return f"hello, {name}"


if __name__ == "__main__":
    print(greet(sys.argv[1]))
