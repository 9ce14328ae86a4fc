"""What a view gives to be shown, and what it is given to work from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.usecase import UseCase
from streams.loading import Loaded
from streams.ops.charts import Chart
from streams.settings import Settings
from streams.topics import names_of


@dataclass(frozen=True, slots=True)
class Case:
    """One use case that the page shows."""

    loaded: Loaded
    settings: Settings

    @property
    def use_case(self) -> UseCase:
        """The declaration."""
        return self.loaded.use_case

    @property
    def name(self) -> str:
        """Its name."""
        return self.loaded.use_case.name

    @property
    def names(self) -> dict[str, str]:
        """Kind → topic."""
        return names_of(self.loaded.use_case, self.settings)

    @property
    def file(self) -> str:
        """What the command line calls it: the name where that finds it, else the path."""
        brought = self.loaded.path.parent.name == "usecases"
        return self.name if brought else str(self.loaded.path)

    @property
    def question(self) -> str:
        """The first line of its file: what it answers, in words."""
        first = self.loaded.source.lstrip().removeprefix('"""').partition("\n")[0]
        return first.removesuffix('"""').strip() if '"""' in self.loaded.source[:20] else ""

    def command(self, *words: str) -> str:
        """A `riverrun` command line about it, as typed."""
        prefix = self.settings.riverrun_topic_prefix
        return " ".join(("riverrun", *words, *(("--prefix", prefix) if prefix else ())))


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a view."""

    case: Case | None
    query: Mapping[str, str]

    def text(self, name: str, limit: int = 300) -> str:
        """A value of the query, cut to what any of them may hold."""
        return self.query.get(name, "").strip()[:limit]


@dataclass(slots=True)
class Scene:
    """A view's template and what it shows. `live`: whether it is kept current."""

    template: str
    title: str
    facts: dict[str, Any] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    live: bool = True

    def chart(self, id: str) -> Chart | None:
        """One of its charts."""
        return next((chart for chart in self.charts if chart.id == id), None)
