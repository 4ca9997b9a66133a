"""Tools: Python functions that a flow calls, found beside the flow file or among the installed packages."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import sys
import threading
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from queue import Empty, Queue
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from alora_flow.errors import BadInput, RunFailed
from alora_flow.language.meaning.program import ToolDecl
from alora_flow.planning.evaluate import evaluate
from alora_flow.values.models import adapter


def find_tool(tool: ToolDecl, near: Path) -> Callable[..., Any]:
    """Import a tool's function. Raises BadInput when there is no such module or function."""
    module_name, _, function_name = tool.function.partition(":")
    try:
        module = _module(module_name, near)
    except ModuleNotFoundError as error:
        if error.name != module_name and not module_name.startswith(f"{error.name}."):
            raise BadInput(f"tool '{tool.name}': module '{module_name}' needs another: {error}") from error
        said = f"tool '{tool.name}': no module '{module_name}' beside the flow file or installed"
        raise BadInput(said, f"put {module_name}.py into {near}") from error
    except Exception as error:
        raise BadInput(f"tool '{tool.name}': module '{module_name}' cannot be imported: {error!r}") from error
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
    """Call a tool with its timeout and retries, and check its result against the declared type.

    Where every try fails its `fallback` is the result; without one, raises RunFailed with the last try's own error.
    Waits `backoff` seconds before the second try, and twice as long before each further one.
    """
    for attempt in range(tool.retry + 1):
        try:
            return _checked(tool, _call(function, arguments, tool.timeout))
        except _Failed as failed:
            last = failed
        if attempt < tool.retry:
            time.sleep(tool.backoff * 2**attempt)
    if tool.fallback is not None:
        return evaluate(tool.fallback, {})
    raise RunFailed(f"tool '{tool.name}' {last}") from last.__cause__


class _Failed(Exception):
    """One try of a tool did not work; the text completes "tool 'x' …"."""


def _call(function: Callable[..., Any], arguments: Mapping[str, Any], timeout: float | None) -> Any:
    """The function's result. It runs in a daemon thread, which a time-out leaves behind: Python can't stop one."""
    done: Queue[tuple[bool, Any]] = Queue()
    threading.Thread(target=_into, args=(done, function, arguments), daemon=True).start()
    try:
        worked, result = done.get(timeout=timeout)
    except Empty:
        raise _Failed(f"took longer than its timeout of {timeout:g} s") from None
    if worked:
        return result
    raise _Failed(f"raised {type(result).__name__}: {result}") from result


def _into(done: Queue[tuple[bool, Any]], function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Call a function, an async one in a loop of its own, and hand over what came of it."""
    try:
        result = function(**deepcopy(dict(arguments)))  # what it changes is its own
        done.put((True, asyncio.run(result) if inspect.iscoroutine(result) else result))
    except BaseException as error:  # the tool's own, whatever it is: it is reported, not ours to handle
        done.put((False, error))


def _checked(tool: ToolDecl, result: Any) -> Any:
    try:
        return adapter(tool.result).validate_python(result)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part!r}]" for part in first["loc"])
        raise _Failed(f"gave no {tool.result}: {place} {first['msg']}") from error
