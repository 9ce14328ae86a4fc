"""What `riverrun doctor` looks at on this machine: Java, jars, Redis, ports, room, Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil

from schemas.errors import Incompatible, RiverrunError, Unavailable
from streams.config.check_result import CheckResult, bad, doubtful, good
from streams.embedded import stack_file as records
from streams.embedded.free_ports import is_free
from streams.embedded.jar_lock import KAFKA_VERSION, locked_jars
from streams.embedded.jars import jar_folder, verify
from streams.embedded.java import INSTALL, java
from streams.embedded.process import is_alive
from streams.embedded.redis_server import redis_program
from streams.embedded.stack import BROKER, REDIS, Stack

DISK_FREE_MB_MIN = 2_000
MEMORY_FREE_MB_MIN = 1_000
HOME_MARKER = re.compile(r"-Driverrun\.home=(.+)")


def check_java() -> CheckResult:
    """Check that the Java of the wheel runs."""
    try:
        done = subprocess.run(
            [str(java()), "-version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (Unavailable, OSError) as error:
        return bad("java", str(error), INSTALL)
    if done.returncode != 0:
        return bad("java", f"{java()} does not run: {done.stderr.strip()}", INSTALL)
    return good("java", done.stderr.splitlines()[0])


def check_jars() -> CheckResult:
    """Check that the jars on this machine are those of the lock."""
    jars, folder = locked_jars(), jar_folder()
    present = [jar for jar in jars if (folder / jar.path).is_file()]
    try:
        verify(present, folder)
    except Incompatible as error:
        return bad("jars", str(error), "Delete the named file; `riverrun up` downloads it again.")
    if len(present) < len(jars):
        return good("jars", f"{len(present)} of {len(jars)} in {folder}; `up` downloads the rest")
    return good("jars", f"Kafka {KAFKA_VERSION}: {len(jars)} jars in {folder}, as locked")


def check_redis_program() -> CheckResult:
    """Check that there is a Redis protocol server to start."""
    try:
        return good("redis program", str(redis_program()))
    except Unavailable as error:
        return bad("redis program", str(error), f"{INSTALL}, or install redis-server")


def check_room(home: Path) -> Iterator[CheckResult]:
    """Check disk space for the topics and memory for the servers."""
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free_mb = shutil.disk_usage(there).free // 2**20
    if free_mb < DISK_FREE_MB_MIN:
        yield bad("disk", f"{free_mb} MB free at {there}", "Make room, or set RIVERRUN_HOME.")
    else:
        yield good("disk", f"{free_mb} MB free at {there}")
    memory_mb = psutil.virtual_memory().available // 2**20
    if memory_mb < MEMORY_FREE_MB_MIN:
        yield doubtful("memory", f"{memory_mb} MB available", "End other programs.")
    else:
        yield good("memory", f"{memory_mb} MB available")


def check_ports(home: Path) -> Iterator[CheckResult]:
    """Check whether another program took a port that a stopped server of this folder had."""
    record = _record(home)
    if record is None:
        return
    ports = {BROKER.format(n): port for n, (port, _) in record.ports.items()}
    for name, port in {**ports, REDIS: record.redis_port}.items():
        if not is_alive(record.processes.get(name)) and not is_free(port):
            yield doubtful(
                "ports",
                f"port {port} of {name}, which does not run, is taken by another program",
                "`riverrun down` and `riverrun up` choose another.",
            )


def check_embedded(home: Path) -> CheckResult:
    """Check whether the servers of this folder run."""
    try:
        endpoints = Stack(home).find()
    except RiverrunError as error:
        return bad("embedded servers", str(error), "`riverrun down --purge`")
    record = _record(home)
    for name, identity in (record.processes if record else {}).items():
        if not is_alive(identity):
            cause = f"{name} (pid {identity.pid}) has ended; its log is in {home / name}"
            return bad("embedded servers", cause, "`riverrun up` starts it again.")
    if endpoints is not None:
        return good("embedded servers", f"Kafka {endpoints.bootstrap_servers}, Redis, in {home}")
    if record and record.processes:
        cause = f"the servers of {home} run, and one does not answer"
        return bad("embedded servers", cause, "`riverrun down`, then `riverrun up`")
    return doubtful("embedded servers", f"none run in {home}", "`riverrun up` starts them.")


def check_orphans() -> Iterator[CheckResult]:
    """Report every Kafka on this machine that a riverrun started and no record lists."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        for argument in process.info["cmdline"] or ():
            if (marked := HOME_MARKER.fullmatch(argument)) is None:
                continue
            home, pid = Path(marked[1]), process.info["pid"]
            record = _record(home)
            processes = record.processes.values() if record else ()
            if pid not in {each.pid for each in processes}:
                yield doubtful(
                    "orphans",
                    f"a Kafka of {home} runs without a record of it: pid {pid}",
                    f"`RIVERRUN_HOME={home} riverrun down`, or `kill {pid}`",
                )


def check_python() -> Iterator[CheckResult]:
    """Report what the interpreter's own settings mean for imports and for equal floats."""
    root = Path(__file__).parents[2]
    for name in ("schemas", "models", "riverrun", "streams"):
        spec = find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).parents[1] != root:
            origin = spec.origin if spec else "nothing"
            cause = f"`import {name}` finds {origin}, not riverrun's"
            yield bad("python", cause, "Rename what shadows it, or run `python -P -m streams.cli`.")
    seed = os.environ.get("PYTHONHASHSEED", "random")
    safe = "on" if sys.flags.safe_path else "off"
    version = ".".join(map(str, sys.version_info[:3]))
    yield good(
        "python", f"{version}, -P {safe}, PYTHONHASHSEED {seed}; workers run with -P and seed 0"
    )


def _record(home: Path) -> records.StackRecord | None:
    try:
        return records.load(home)
    except Incompatible:
        return None
