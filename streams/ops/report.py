"""The worth report, made on the spot by the command that makes it: one file to hand on."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from streams.ops.desk import Desk
from streams.ops.inquiries import SETTLED_S, Inquiry
from streams.ops.scene import Ask, Case, Scene
from streams.ops.writing import money

TONES = {"worth it": "good", "not worth it": "bad"}


def _made(desk: Desk, case: Case) -> Inquiry:
    file = str(desk.files.worth(case))
    words = "worth", str(case.loaded.path), "--html", file
    return desk.inquiries.ask(case.settings, *words, fresh_s=SETTLED_S)


async def view(desk: Desk, ask: Ask) -> Scene:
    """Under way, or what it says in a word, and the file."""
    case = ask.case
    assert case is not None
    inquiry = _made(desk, case)
    facts: dict[str, Any] = {
        "inquiry": inquiry,
        "command_line": case.command("worth", case.file, "--html", "worth.html"),
    }
    if inquiry.answer is not None:
        net, unit = inquiry.answer["net"], inquiry.answer["unit"]
        facts |= {
            "answer": inquiry.answer,
            "verdict": (TONES.get(inquiry.answer["verdict"], ""), inquiry.answer["verdict"]),
            "net": [money(net[n], unit) for n in ("total", "total_lower", "total_upper")],
        }
    return Scene("report.html", "Worth", facts)


def download(desk: Desk, case: Case) -> web.StreamResponse:
    """The file; 404 while there is none."""
    file = desk.files.worth(case)
    if not file.exists():
        raise web.HTTPNotFound(text="The report is not made yet.")
    disposition = f'attachment; filename="{file.name}"'
    return web.FileResponse(file, headers={"Content-Disposition": disposition})
