"""The files that the page makes to be handed on, in a folder of its own, gone with the page."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from streams.ops.scene import Case


class Files:
    """Where the newest report of each use case is written, one file each; `close` removes them."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def worth(self, case: Case) -> Path:
        """Where the report of a use case is, once it is made."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="riverrun-ops-"))
        return self._folder / f"{case.name}-worth.html"

    async def close(self) -> None:
        """Remove them."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
