"""The command ``autoparts``."""


def main() -> None:
    """Run the command line."""
