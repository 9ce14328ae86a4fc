"""The input of a view (`ViewRequest`) and its output (`PageModel`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.spec.use_case import UseCase
from schemas.command_line import command_line
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.topics.topic_admin import names_of
from streams.web.render.chart import Chart


@dataclass(frozen=True, slots=True)
class Case:
    """One use case that the page shows."""

    loaded: LoadedUseCase
    settings: Settings

    @property
    def use_case(self) -> UseCase:
        """Return the declaration."""
        return self.loaded.use_case

    @property
    def name(self) -> str:
        """Return its name."""
        return self.loaded.use_case.name

    @property
    def names(self) -> dict[str, str]:
        """Return kind → topic."""
        return names_of(self.loaded.use_case, self.settings)

    @property
    def file(self) -> str:
        """Return its name on the command line."""
        return self.loaded.argument

    @property
    def question(self) -> str:
        """Return the first line of its file: what it predicts, in words."""
        first = self.loaded.source.lstrip().removeprefix('"""').partition("\n")[0]
        return first.removesuffix('"""').strip() if '"""' in self.loaded.source[:20] else ""

    def command(self, *words: str, data: Sequence[str] = ()) -> str:
        """Return a `riverrun` command line about it, as typed into a shell."""
        prefix = self.settings.riverrun_topic_prefix
        return command_line(*words, data=data, options=("--prefix", prefix) if prefix else ())


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """A use case, None for the overview, and the query of the address."""

    optional_case: Case | None
    query: Mapping[str, str]

    @property
    def case(self) -> Case:
        """Return the use case of a view that is about one."""
        assert self.optional_case is not None
        return self.optional_case

    def text(self, name: str, limit: int = 300) -> str:
        """Return a value of the query, cut to `limit` characters."""
        return self.query.get(name, "").strip()[:limit]


@dataclass(slots=True)
class PageModel:
    """A view's template, variables and charts. `live`: whether it is updated."""

    template: str
    title: str
    variables: dict[str, Any] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    live: bool = True

    def chart(self, id: str) -> Chart | None:
        """Return one of its charts."""
        return next((chart for chart in self.charts if chart.id == id), None)
