"""The page's HTTP server: paths, who may take them, and the frame around each view.

GET  /                      all use cases
GET  /USECASE[/VIEW]        a view; with ?csv=CHART one of its charts as CSV
GET  /USECASE/worth?file=1  the worth report, once that view has made it
GET  /live/USECASE[/VIEW]   the same kept current, as an event stream
GET  /tail/USECASE          records of a topic as they are committed, as an event stream
GET  /enter, POST /enter    the secret for a cookie;  POST /leave: the cookie is dropped
POST /act/USECASE/DEED      an act; always of somebody who is signed in
GET  /static/FILE           style, scripts, font
GET  /livez                 that the page answers
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from schemas.errors import RiverrunError
from streams.ops import (
    acting,
    contest,
    dead_letters,
    drift,
    life,
    overview,
    report,
    value,
    workers,
)
from streams.ops.desk import Desk
from streams.ops.live import Shared, Streams, keep_current
from streams.ops.safety import forbid
from streams.ops.scene import Ask, Scene
from streams.ops.writing import render

log = logging.getLogger("riverrun.ops")

STATIC = Path(__file__).with_name("static")
BODY_BYTES_MAX = 64 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
View = Callable[[Desk, Ask], Awaitable[Scene]]

VIEWS: dict[str, tuple[str, View]] = {
    "": ("Value", value.view),
    "contest": ("Contest", contest.view),
    "drift": ("Drift", drift.view),
    "event": ("One event", life.view),
    "dead-letters": ("Dead letters", dead_letters.view),
    "workers": ("Workers and topics", workers.view),
    "worth": ("", report.view),
}
"""Path → what its tab says, and the view; the tabs are in this order. Without words: no tab."""


def application(desk: Desk) -> web.Application:
    """The server of one desk, to be run by aiohttp."""
    site = Site(desk)
    app = web.Application(middlewares=[site.guard], client_max_size=BODY_BYTES_MAX)
    app.on_response_prepare.append(forbid)
    app.on_shutdown.append(site.streams.close)
    app.on_cleanup.append(desk.close)
    app.router.add_static("/static/", STATIC)
    app.router.add_get("/livez", site.livez)
    app.router.add_get("/enter", site.enter)
    app.router.add_post("/enter", site.enter)
    app.router.add_post("/leave", site.leave)
    app.router.add_get("/live/{use_case}/{view}", site.live)
    app.router.add_get("/live/{use_case}", site.live)
    app.router.add_get("/live/", site.live)
    app.router.add_get("/tail/{use_case}", site.tail)
    app.router.add_post("/act/{use_case}/{deed}", site.act)
    app.router.add_get("/{use_case}/{view}", site.page)
    app.router.add_get("/{use_case}", site.page)
    app.router.add_get("/", site.page)
    return app


class Site:
    """Answers requests for one desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.streams = Streams()
        self._shared = Shared()

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what may not be asked; make a page of what fails."""
        door = self.desk.door
        if not door.knows_host(request.headers.get("Host", "")):
            return web.Response(status=421, text="This page does not go by that name.\n")
        free = request.path.startswith("/static/") or request.path in ("/enter", "/livez")
        if not free and not door.may_read(request):
            if request.method == "GET" and not request.path.startswith(("/live/", "/tail/")):
                return _onward("/enter")
            return web.Response(status=401, text="Sign in first.\n")
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400 or error.status == 503:
                raise
            return self._trouble(request, error.status, error.reason, error.text or "")
        except RiverrunError as error:
            return self._trouble(request, 503, "That did not work", str(error))
        except Exception:
            mark = secrets.token_hex(3)
            log.exception("mark %s: %s failed", mark, request.path)
            words = f"Something failed in the page itself. Its log says what, under mark {mark}."
            return self._trouble(request, 500, "A fault of this page", words)

    # Views.

    async def page(self, request: web.Request) -> web.StreamResponse:
        """One view with its frame, or one of its charts as CSV."""
        ask = self._ask(request)
        if ask.case and request.match_info.get("view") == "worth" and "file" in ask.query:
            return report.download(self.desk, ask.case)
        scene = await self._scene(request)
        if chart_id := request.query.get("csv"):
            return _csv(scene, chart_id)
        return self._framed(request, scene)

    async def live(self, request: web.Request) -> web.StreamResponse:
        """The inside of the same view, again whenever it changes."""

        async def look() -> str:
            try:
                return self._inside(request, await self._scene(request))
            except RiverrunError as error:
                facts = {"title": "Out of reach for now", "words": str(error)}
                return render("trouble.html", facts)

        async with self.streams.open(request) as stream:
            await keep_current(stream.send, look, lambda: self.desk.door.may_read(request))
        return stream.response

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """Records of one topic as they are committed."""
        ask = self._ask(request)
        async with self.streams.open(request) as stream:
            await workers.tail(ask, stream.send)
        return stream.response

    async def livez(self, request: web.Request) -> web.StreamResponse:
        """That the page answers."""
        return web.json_response({"live": True})

    # Coming, going, acting.

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Trade the secret for a cookie."""
        door = self.desk.door
        given = request.query.get("token", "")
        if request.method == "POST":
            given = str((await request.post()).get("secret", ""))
        if given and (session := door.admit(given.strip())):
            answer = _onward("/")
            door.let_in(answer, session, secure=request.secure)
            return answer
        words = ""
        if given:
            words = "Too many tries. Wait a minute." if door.barred else "That is not the secret."
        scene = Scene("enter.html", "Sign in", {"words": words}, live=False)
        return self._framed(request, scene, status=403 if given else 200)

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """Drop the cookie."""
        form = await request.post()
        answer = _onward("/")
        if self.desk.door.may_act(request, str(form.get("word", ""))):
            answer.del_cookie(self.desk.door.cookie, path="/")
        return answer

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Do what a form asks, if it is a form of this page and somebody is signed in."""
        form = {name: str(text) for name, text in (await request.post()).items()}
        if not self.desk.door.may_act(request, form.get("word", "")):
            raise web.HTTPForbidden(text="Sign in first: the address printed at the start does.")
        case = self._ask(request).case
        assert case is not None
        return _onward(await acting.act(self.desk, case, request.match_info["deed"], form))

    # Frames.

    def _ask(self, request: web.Request) -> Ask:
        name = request.match_info.get("use_case")
        if name is not None and name not in self.desk.cases:
            raise web.HTTPNotFound(text=f"There is no use case {name!r} here.")
        return Ask(None if name is None else self.desk.cases[name], request.query)

    async def _scene(self, request: web.Request) -> Scene:
        ask, name = self._ask(request), request.match_info.get("view", "")
        if ask.case is None:
            work: View = overview.view
        elif name in VIEWS:
            work = VIEWS[name][1]
        else:
            raise web.HTTPNotFound(text=f"There is no view {name!r}.")
        question = (work, request.match_info.get("use_case"), tuple(ask.query.items()))
        scene: Scene = await self._shared.get(question, lambda: work(self.desk, ask))
        return scene

    def _facts(self, request: web.Request, scene: Scene) -> dict[str, Any]:
        session = self.desk.door.session(request)
        name = request.match_info.get("use_case", "")
        return {
            "title": scene.title,
            "charts": {chart.id: chart for chart in scene.charts},
            "case": self.desk.cases.get(name),
            "cases": self.desk.cases,
            "tabs": [(path, tab) for path, (tab, _) in VIEWS.items() if tab],
            "here": request.match_info.get("view", ""),
            "query": request.query,
            "path": request.path.removeprefix("/live"),
            "address": request.path_qs.removeprefix("/live"),
            "live": f"/live{request.path_qs}" if scene.live else "",
            "signed_in": session is not None,
            "word": "" if session is None else self.desk.door.word(session),
            **scene.facts,
        }

    def _inside(self, request: web.Request, scene: Scene) -> str:
        return render(scene.template, self._facts(request, scene))

    def _framed(self, request: web.Request, scene: Scene, status: int = 200) -> web.Response:
        facts = self._facts(request, scene)
        facts["inside"] = render(scene.template, facts)
        return web.Response(
            status=status, text=render("frame.html", facts), content_type="text/html"
        )

    def _trouble(self, request: web.Request, status: int, title: str, words: str) -> web.Response:
        scene = Scene("trouble.html", title, {"words": words}, live=False)
        return self._framed(request, scene, status)


def _onward(address: str) -> web.Response:
    return web.Response(status=303, headers={"Location": address})


def _csv(scene: Scene, chart_id: str) -> web.Response:
    chart = scene.chart(chart_id)
    if chart is None:
        raise web.HTTPNotFound(text=f"There is no chart {chart_id!r} here.")
    headers = {"Content-Disposition": f'attachment; filename="{chart.id}.csv"'}
    return web.Response(text=chart.csv(), content_type="text/csv", headers=headers)
