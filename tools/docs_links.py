"""A hook of mkdocs: links to files outside docs/ become the names of these files.

On GitHub they lead to the file; the site has only docs/. `tests/project/test_docs.py` checks both
kinds.
"""

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Return the page with each link that leaves docs/ replaced by its text."""
    root = Path(config["docs_dir"]).resolve()
    folder = (root / page.file.src_uri).parent

    def replaced(match: "re.Match[str]") -> str:
        target = (folder / match[2]).resolve()
        inside = target.is_relative_to(root) and target.is_file() and target.suffix != ".py"
        return match[0] if inside else match[1]

    return LINK.sub(replaced, markdown)
