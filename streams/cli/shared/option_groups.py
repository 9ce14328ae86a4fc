"""Options that several commands share, as one object in the code and as single options for people.

@dataclass(frozen=True, slots=True)
class Paging(OptionGroup):
    limit: Annotated[int, typer.Option(help="The newest N.")] = 20

@spread_options
def drift(usecase: UseCaseName, paging: Paging) -> None: ...    # riverrun drift USECASE --limit 5
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, get_type_hints


class OptionGroup:
    """Options that belong together; its subclasses are data classes."""

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """Return one parameter a field, as Typer reads them."""
        hints = get_type_hints(cls, include_extras=True)
        return [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is MISSING else field.default,
                annotation=hints[field.name],
            )
            for field in fields(cls)  # type: ignore[arg-type]
        ]


def spread_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with each `OptionGroup` among its parameters spread into its fields."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[OptionGroup]] = {
        name: hint
        for name, hint in hints.items()
        if isinstance(hint, type) and issubclass(hint, OptionGroup)
    }
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            parameters += groups[parameter.name].parameters()
        else:
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(kind=keyword, annotation=hints[parameter.name]))

    @functools.wraps(command)
    def spread(**options: Any) -> None:
        for name, group in groups.items():
            values = {
                parameter.name: options.pop(parameter.name) for parameter in group.parameters()
            }
            options[name] = group(**values)
        command(**options)

    spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return spread
