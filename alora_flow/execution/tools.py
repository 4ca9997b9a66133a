"""Tools: Python functions that a flow calls, found beside the flow file or among the installed packages."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from alora_flow.errors import BadInput, RunFailed
from alora_flow.language.program import ToolDecl
from alora_flow.values.models import adapter


def find_tool(tool: ToolDecl, near: Path) -> Callable[..., Any]:
    """Import a tool's function. Raises BadInput when there is no such module or function."""
    module_name, _, function_name = tool.function.partition(":")
    try:
        module = _module(module_name, near)
    except ImportError as error:
        raise BadInput(
            f"tool '{tool.name}': no module '{module_name}' beside the flow file or installed ({error})",
            f"put {module_name}.py into {near}",
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise BadInput(f"tool '{tool.name}': module '{module_name}' has no function '{function_name}'")
    return function  # type: ignore[no-any-return]


def _module(name: str, near: Path) -> ModuleType:
    """A file beside the flow wins over an installed package, and two flows' files of one name stay apart."""
    path = near / Path(*name.split(".")).with_suffix(".py")
    if not path.is_file():
        return importlib.import_module(name)
    private = f"alora_flow_tools.{path}"
    if private not in sys.modules:
        spec = importlib.util.spec_from_file_location(private, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[private] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[private]
            raise
    return sys.modules[private]


def call_tool(tool: ToolDecl, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call a tool and check its result against the declared type. Raises RunFailed with the tool's own error."""
    try:
        result = function(**arguments)
    except Exception as error:
        raise RunFailed(f"tool '{tool.name}' raised {type(error).__name__}: {error}") from error
    try:
        return adapter(tool.result).validate_python(result)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part!r}]" for part in first["loc"])
        raise RunFailed(f"tool '{tool.name}' gave no {tool.result}: {place} {first['msg']}") from error
