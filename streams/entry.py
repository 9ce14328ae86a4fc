"""Where `riverrun` begins: it says which extra is missing before anything of it is imported."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""The exit code of what Ctrl-C ends, as shells have it; the commands' own is the same."""


def main() -> None:
    """Run the command line, if what it stands on is installed."""
    try:
        from streams.cli import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("schemas", "models", "riverrun", "streams"):
            raise
        sys.exit(
            f"riverrun: the command line needs {error.name}, which is not installed. "
            "pip install 'riverrun[worker]' brings it; 'riverrun[all]' brings everything."
        )
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()
