"""The worth report, created on demand by its command: one file to download."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from streams.web.render.formatting import money
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case, PageModel, ViewRequest
from streams.web.state.request_limits import Visitor
from streams.web.state.subprocess_queries import FRESH_S

TONES = {"worth it": "good", "not worth it": "bad"}


def _args(context: PageContext, case: Case) -> tuple[str, ...]:
    file = str(context.files.worth(case))
    return ("worth", str(case.loaded.path), "--json", "--html", file)


def ask(context: PageContext, case: Case, visitor: Visitor) -> str:
    """Start to create the report; return the address that shows it. Raises `Busy`."""
    context.subprocess_queries.ask(case.settings, visitor, *_args(context, case), fresh_s=FRESH_S)
    return f"/{case.name}/worth"


async def view(context: PageContext, view_request: ViewRequest) -> PageModel:
    """Return the report's progress, or its verdict and its file."""
    case = view_request.case
    query = context.subprocess_queries.known(*_args(context, case))
    facts: dict[str, Any] = {
        "query": query,
        "command_line": case.command("worth", case.file, "--html", "worth.html"),
    }
    if query is not None and query.answer is not None:
        net, unit = query.answer["net"], query.answer["unit"]
        facts |= {
            "answer": query.answer,
            "verdict": (TONES.get(query.answer["verdict"], ""), query.answer["verdict"]),
            "net": [money(net[n], unit) for n in ("total", "total_lower", "total_upper")],
        }
    return PageModel("report.html", "Worth", facts)


def download(context: PageContext, case: Case) -> web.StreamResponse:
    """Return the file; 404 if there is none."""
    file = context.files.worth(case)
    if not file.exists():
        raise web.HTTPNotFound(text="The report has not been created yet.")
    disposition = f'attachment; filename="{file.name}"'
    return web.FileResponse(file, headers={"Content-Disposition": disposition})
