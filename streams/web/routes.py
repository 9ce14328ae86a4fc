"""The page's HTTP server: routes, access, and the frame around each view.

GET  /                      all use cases
GET  /USECASE[/VIEW]        a view; with ?csv=CHART one of its charts as CSV
GET  /USECASE/worth?file=1  the worth report, once it was created
GET  /live/USECASE[/VIEW]   the same view with updates, as an event stream
GET  /tail/USECASE          records of a topic as they are committed, as an event stream
GET  /enter, POST /enter    exchange the ticket or the secret for a session;  POST /leave: end it
POST /ask/USECASE/VIEW      start a query that is work; a view shows its result and starts none
POST /act/USECASE/ACTION    an action, only of a signed-in visitor
GET  /static/FILE           style, scripts, font
GET  /livez                 whether the page answers
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from schemas.errors import RiverrunError
from streams.web.render.formatting import render
from streams.web.render.server_sent_events import SharedAnswers, Streams, keep_current
from streams.web.state.auth import is_cross_site, is_same_origin, set_security_headers
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import PageModel, ViewRequest
from streams.web.state.request_limits import Busy, RequestSlots
from streams.web.views import (
    actions,
    challengers,
    dead_letters,
    drift,
    event,
    overview,
    use_case,
    workers,
    worth_report,
)

log = logging.getLogger("riverrun.ops")

STATIC = Path(__file__).with_name("static")
BODY_BYTES_MAX = 64 * 1024
RETRY_S = 10
VIEWS_EACH_MAX, VIEWS_MAX = 16, 32
"""Views rendered at once for one visitor; for all signed-in visitors, and for all others."""

STREAMED = ("/live/", "/tail/")
VIEW_PARAMETERS = ("id", "prove", "class", "cause", "position", "topic", "where", "subject",
                   "segment", "slice", "all", "state")  # fmt: skip
"""The parameters that views read; requests that differ in others share one answer."""

READER = web.RequestKey("reader", str)
CONTEXT = web.AppKey("context", PageContext)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
View = Callable[[PageContext, ViewRequest], Awaitable[PageModel]]

VIEWS: dict[str, tuple[str, View]] = {
    "": ("Value", use_case.view),
    "contest": ("Contest", challengers.view),
    "drift": ("Drift", drift.view),
    "event": ("One event", event.view),
    "dead-letters": ("Dead letters", dead_letters.view),
    "workers": ("Workers and topics", workers.view),
    "worth": ("", worth_report.view),
}
"""Path → the text of its tab, and the view, in the order of the tabs; without text: no tab."""


def application(context: PageContext) -> web.Application:
    """Return the server of one page, to be run by aiohttp."""
    site = Site(context)
    app = web.Application(middlewares=[site.guard], client_max_size=BODY_BYTES_MAX)
    app[CONTEXT] = context
    app.on_response_prepare.append(set_security_headers)
    app.on_shutdown.append(site.streams.close)
    app.on_cleanup.append(context.close)
    app.router.add_static("/static/", STATIC)
    app.router.add_get("/livez", site.livez)
    app.router.add_get("/enter", site.enter)
    app.router.add_post("/enter", site.enter)
    app.router.add_post("/leave", site.leave)
    app.router.add_get("/live/{use_case}/{view}", site.live)
    app.router.add_get("/live/{use_case}", site.live)
    app.router.add_get("/live/", site.live)
    app.router.add_get("/tail/{use_case}", site.tail)
    app.router.add_post("/ask/{use_case}/{view}", site.ask)
    app.router.add_post("/act/{use_case}/{action}", site.act)
    app.router.add_get("/{use_case}/{view}", site.page)
    app.router.add_get("/{use_case}", site.page)
    app.router.add_get("/", site.page)
    return app


class Site:
    """The request handlers of one page."""

    def __init__(self, context: PageContext) -> None:
        self.context = context
        self.streams = Streams()
        self._view_slots = RequestSlots("views", each=VIEWS_EACH_MAX, together=VIEWS_MAX)
        self._shared_answers = SharedAnswers()

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests without access; turn failures into pages."""
        auth = self.context.auth
        if not auth.knows_host(request.headers.get("Host", "")):
            return web.Response(status=421, text="This host name is not declared for this page.\n")
        if is_cross_site(request):
            return web.Response(status=403, text="Requests from other sites are refused.\n")
        public = request.path.startswith("/static/") or request.path in ("/enter", "/livez")
        if not public and not auth.may_read(request):
            if request.method == "GET" and not request.path.startswith(STREAMED):
                return _redirect("/enter")
            return web.Response(status=401, text="Sign in first.\n")
        try:
            return await handler(request)
        except Busy as busy:
            return self._busy(request, busy)
        except web.HTTPException as error:
            if error.status < 400 or error.status == 503:
                raise
            return self._error_page(request, error.status, error.reason, error.text or "")
        except RiverrunError as error:
            return self._error_page(request, 503, "The request failed", str(error))
        except Exception:
            reference = secrets.token_hex(3)
            log.exception("reference %s: %s failed", reference, request.path)
            message = f"An error occurred in the page. Its log has details: reference {reference}."
            return self._error_page(request, 500, "Internal error", message)

    # Views.

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Return one view with its frame, or one of its charts as CSV."""
        if request.match_info.get("view") == "worth" and "file" in request.query:
            return worth_report.download(self.context, self._view_request(request).case)
        with self._view_slots.hold(self.context.auth.visitor(request)):
            model = await self._model(request)
        if chart_id := request.query.get("csv"):
            return _csv(model, chart_id)
        return self._full_page(request, model)

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Stream the content of a view, again whenever it changes."""

        async def content() -> str:
            try:
                return self._content(request, await self._model(request))
            except RiverrunError as error:
                variables = {"title": "Unavailable", "message": str(error)}
                return render("error.html", variables)

        visitor = self.context.auth.visitor(request)
        if not visitor.signed_in:
            self._reader(request)  # so that forms in the content carry a token of its cookie
        async with self.streams.open(request, visitor, partial(self._welcome, request)) as stream:
            await keep_current(stream.send, content, lambda: self.context.auth.may_read(request))
        return stream.response

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """Stream records of one topic as they are committed."""
        view_request = self._view_request(request)
        async with self.streams.open(request, self.context.auth.visitor(request)) as stream:
            await workers.tail(self.context.tails, view_request, stream.send)
        return stream.response

    async def livez(self, request: web.Request) -> web.StreamResponse:
        """Return that the page answers."""
        return web.json_response({"live": True})

    # Sessions, queries, actions.

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Exchange the ticket, once, or the secret for a session."""
        auth, session, message = self.context.auth, None, ""
        if request.method == "POST":
            if not is_same_origin(request):
                raise web.HTTPForbidden(text="Sign in on this page.")
            secret = str((await request.post()).get("secret", "")).strip()
            session = await auth.admit(secret, auth.client(request))
            message = "The secret is wrong."
        elif (ticket := request.query.get("token", "")) and _is_navigation(request):
            session = auth.redeem(ticket)
            message = "This address has been used; it signs in once. Enter the secret."
        if session is not None:
            response = _redirect("/")
            auth.let_in(request, response, session)
            return response
        model = PageModel("sign_in.html", "Sign in", {"message": message}, live=False)
        return self._full_page(request, model, status=403 if message else 200)

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """End the session and delete its cookie."""
        form, auth = await request.post(), self.context.auth
        response = _redirect("/")
        session = auth.session(request)
        if session is not None and auth.may_act(request, str(form.get("form_token", ""))):
            auth.leave(session)
            response.del_cookie(auth.cookie, path="/")
        return response

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """Start the query of a form of this page, within the visitor's limits."""
        form = {name: str(text) for name, text in (await request.post()).items()}
        auth, context, case = self.context.auth, self.context, self._view_request(request).case
        if not auth.may_ask(request, form.get("form_token", "")):
            raise web.HTTPForbidden(text="Use the button of this page; it needs the page's cookie.")
        visitor, view = auth.visitor(request), request.match_info["view"]
        if view == "event":
            return _redirect(event.ask(context, case, visitor, form))
        if view == "worth":
            return _redirect(worth_report.ask(context, case, visitor))
        raise web.HTTPNotFound(text=f"There is no query for {view!r}.")

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Carry out the action of a form of this page, for a signed-in visitor."""
        form = {name: str(text) for name, text in (await request.post()).items()}
        if not self.context.auth.may_act(request, form.get("form_token", "")):
            raise web.HTTPForbidden(
                text="Sign in first, with the address that was printed at the start."
            )
        case = self._view_request(request).case
        return _redirect(await actions.act(self.context, case, request.match_info["action"], form))

    # Frames.

    def _view_request(self, request: web.Request) -> ViewRequest:
        name = request.match_info.get("use_case")
        if name is not None and name not in self.context.cases:
            raise web.HTTPNotFound(text=f"There is no use case {name!r} here.")
        return ViewRequest(None if name is None else self.context.cases[name], request.query)

    async def _model(self, request: web.Request) -> PageModel:
        view_request, view_name = self._view_request(request), request.match_info.get("view", "")
        if view_request.optional_case is None:
            view: View = overview.view
        elif view_name in VIEWS:
            view = VIEWS[view_name][1]
        else:
            raise web.HTTPNotFound(text=f"There is no view {view_name!r}.")
        parameters = tuple(
            (name, view_request.text(name))
            for name in VIEW_PARAMETERS
            if name in view_request.query
        )
        key = (view, request.match_info.get("use_case"), parameters)
        model: PageModel = await self._shared_answers.get(
            key, lambda: view(self.context, view_request)
        )
        return model

    def _variables(self, request: web.Request, model: PageModel) -> dict[str, Any]:
        session = self.context.auth.session(request)
        name = request.match_info.get("use_case", "")
        return {
            "title": model.title,
            "charts": {chart.id: chart for chart in model.charts},
            "case": self.context.cases.get(name),
            "cases": self.context.cases,
            "tabs": [(path, tab) for path, (tab, _) in VIEWS.items() if tab],
            "here": request.match_info.get("view", ""),
            "path": request.path.removeprefix("/live"),
            "address": request.path_qs.removeprefix("/live"),
            "live": f"/live{request.path_qs}" if model.live else "",
            "signed_in": session is not None,
            "form_token": "" if session is None else self.context.auth.form_token(session),
            "query_token": self.context.auth.form_token(session or self._reader(request)),
            **model.variables,
        }

    def _reader(self, request: web.Request) -> str:
        """Return the name of a browser that only reads; set its cookie if it has none."""
        reader = self.context.auth.reader(request) or request.get(READER)
        if reader is None:
            reader = request[READER] = secrets.token_urlsafe(12)
        return str(reader)

    def _content(self, request: web.Request, model: PageModel) -> str:
        return render(model.template, self._variables(request, model))

    def _full_page(self, request: web.Request, model: PageModel, status: int = 200) -> web.Response:
        variables = self._variables(request, model)
        variables["inside"] = render(model.template, variables)
        response = web.Response(
            status=status, text=render("base.html", variables), content_type="text/html"
        )
        self._welcome(request, response)
        return response

    def _welcome(self, request: web.Request, response: web.StreamResponse) -> None:
        if reader := request.get(READER):
            self.context.auth.welcome(request, response, reader)

    def _busy(self, request: web.Request, busy: Busy) -> web.StreamResponse:
        if request.path.startswith(STREAMED):
            response: web.StreamResponse = web.Response(status=busy.status, text=f"{busy}\n")
        else:
            response = self._error_page(request, busy.status, "Too many requests", str(busy))
        response.headers["Retry-After"] = str(RETRY_S)
        return response

    def _error_page(
        self, request: web.Request, status: int, title: str, message: str
    ) -> web.Response:
        model = PageModel("error.html", title, {"message": message}, live=False)
        return self._full_page(request, model, status)


def _redirect(address: str) -> web.Response:
    return web.Response(status=303, headers={"Location": address})


def _is_navigation(request: web.Request) -> bool:
    """Return whether a person opens the address, rather than a browser's prefetch."""
    purposes = f"{request.headers.get('Sec-Purpose', '')} {request.headers.get('Purpose', '')}"
    return request.method == "GET" and "prefetch" not in purposes


def _csv(model: PageModel, chart_id: str) -> web.Response:
    chart = model.chart(chart_id)
    if chart is None:
        raise web.HTTPNotFound(text=f"There is no chart {chart_id!r} here.")
    headers = {"Content-Disposition": f'attachment; filename="{chart.id}.csv"'}
    return web.Response(text=chart.csv(), content_type="text/csv", headers=headers)
