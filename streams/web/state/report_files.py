"""Reports that the page creates for download, in a temporary folder of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from streams.web.state.page_model import Case


class ReportFiles:
    """The newest report of each use case, one file each; `close` removes them."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def worth(self, case: Case) -> Path:
        """Return the path of a use case's report."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="riverrun-ops-"))
        return self._folder / f"{case.name}-worth.html"

    async def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
