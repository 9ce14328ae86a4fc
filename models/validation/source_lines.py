"""Where in its file a use case says what: `("kpi", "unit")` or `("features", "queue")` → a line.

Read from the source's syntax tree, so it finds what is written down as a keyword of `UseCase(...)`,
a key of a dictionary literal (or of one that it is joined from), or an argument of a call in
there, through names assigned in the same module. Of a location that cannot be followed further, the
line of the last step that could be is given. The source is never run.
"""

from __future__ import annotations

import ast
from dataclasses import fields
from typing import Any

from models.spec.use_case import Contest, Kpi, Price, Promotion, Segments

_POSITIONS = {
    declaration.__name__: tuple(field.name for field in fields(declaration))
    for declaration in (Contest, Kpi, Price, Promotion, Segments)
}
Step = tuple[int, ast.expr | None]
"""A line, and the expression there if it can be looked into."""


class Lines:
    """The places of one source; `None` or a source that does not parse has no lines."""

    def __init__(self, source: str | None) -> None:
        self._assigned: dict[str, ast.expr] = {}
        self._entered: dict[tuple[str, Any], Step] = {}
        self._call: ast.Call | None = None
        try:
            tree = ast.parse(source or "")
        except SyntaxError:
            return
        for statement in tree.body:
            self._read(statement)
        calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
        self._call = next((call for call in calls if _called(call) == "UseCase"), None)

    def _read(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        elif isinstance(statement, ast.Assign):
            targets, value = list(statement.targets), statement.value  # type: ignore[arg-type]
        else:
            return
        for target in targets:
            if isinstance(target, ast.Name):
                self._assigned[target.id] = value
            elif (
                isinstance(target, ast.Subscript)
                and isinstance(target.value, ast.Name)
                and isinstance(target.slice, ast.Constant)
            ):
                self._entered[target.value.id, target.slice.value] = (target.lineno, value)

    def of(self, *location: str) -> int | None:
        """Return the line of a location; None if the source has no `UseCase(...)`.

        >>> Lines('F = {\\n  "a": 1,\\n}\\nUseCase(\\n  features=F,\\n)').of("features", "a")
        2
        """
        if self._call is None:
            return None
        line, node = self._call.lineno, self._call
        step: Step | None = (line, node)
        for part in location:
            step = self._step(step[1], part) if step and step[1] is not None else None
            if step is None:
                return line
            line = step[0]
        return line

    def _step(self, node: ast.expr, part: str) -> Step | None:
        if isinstance(node, ast.Name):
            entered = self._entered.get((node.id, part))
            value = self._assigned.get(node.id)
            return entered or (self._step(value, part) if value is not None else None)
        if isinstance(node, ast.Dict):
            return self._in_dict(node, part)
        if isinstance(node, ast.List | ast.Tuple):
            steps = (self._step(each, part) for each in node.elts)
            return next((step for step in steps if step is not None), None)
        if isinstance(node, ast.BinOp):
            return self._step(node.right, part) or self._step(node.left, part)
        return self._in_call(node, part) if isinstance(node, ast.Call) else None

    def _in_dict(self, node: ast.Dict, part: str) -> Step | None:
        for key, value in reversed(list(zip(node.keys, node.values, strict=True))):
            if key is None:
                joined = self._step(value, part)
                if joined is not None:
                    return joined
            elif isinstance(key, ast.Constant) and key.value == part:
                return key.lineno, value
        return None

    def _in_call(self, node: ast.Call, part: str) -> Step | None:
        for keyword in node.keywords:
            if keyword.arg == part:
                return keyword.lineno, keyword.value
        names = _POSITIONS.get(_called(node), ())
        if part in names and names.index(part) < len(node.args):
            value = node.args[names.index(part)]
            return value.lineno, value
        for value in node.args:
            if isinstance(value, ast.Constant) and value.value == part:
                return value.lineno, None
            if isinstance(value, ast.Name | ast.Dict):
                step = self._step(value, part)
                if step is not None:
                    return step
        # `over_events(...).count()`: the arguments may belong to the call before the dot.
        if isinstance(node.func, ast.Attribute):
            return self._step(node.func.value, part)
        return None


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
