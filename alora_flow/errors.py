"""Every error that alora-flow raises for somebody else's mistake.

FlowError
├── FlowErrors (language.diagnostics)   a flow file is wrong: carries all of its diagnostics
├── BadInput                            a file, a model, an adapter or an input value is wrong: exit code 1
│   ├── ModelNotFound, BadModel         a model reference leads nowhere, or to a folder that is not a model
│   ├── AdapterNotFound, BadAdapter     likewise for an adapter
│   ├── BadValue                        an input value does not fit the flow's parameter
│   └── BudgetTooSmall                  a flow's worst case is more than its budget
├── FetchFailed                         the hub can't be reached, breaks off, or the disk is full: exit code 3
├── BadUsage                            a request that makes no sense, like a wrong option: exit code 2
│   └── ModuleClosed                    a module was closed, and is used all the same
└── RunFailed                           the program was right and the run was not: exit code 3
    ├── RequirementFailed               a `require` did not hold
    ├── TimedOut                        a tool or a call of the model took longer than its timeout
    ├── BadMock                         a test's mocks say nothing, or nothing of use, for a call
    └── BudgetSpent                     a flow spent more than its budget
"""

from __future__ import annotations

from typing import Any


def text_of(error: BaseException) -> str:
    """What an error says, else its kind; also of one of somebody else's that can't say anything."""
    try:
        return str(error) or type(error).__name__
    except Exception:
        return f"{type(error).__name__} (which can't be printed)"


class FlowError(Exception):
    """Base of all: `message` says what is wrong and where, `help` what to do about it.

    Of a run that failed, `trace`: what happened until then (an `execution.trace.Trace`); `places`: where it failed, and
    the calls of flows that led there, innermost first (`language.report.source.Span`s); `traceback`: of a tool that
    raised, in its own code.
    """

    exit_code = 1
    trace: Any = None
    places: tuple[Any, ...] = ()
    traceback: str | None = None

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


class BadInput(FlowError):
    """Something that was handed in is wrong."""


class ModelNotFound(BadInput):
    """A model reference is neither a folder, nor a bundled model, nor in the local hub cache."""


class BadModel(BadInput):
    """A folder that was named as a model holds none, or one that flows cannot run on."""


class AdapterNotFound(BadInput):
    """An adapter reference is neither a folder nor a name in the model's intrinsics library."""


class BadAdapter(BadInput):
    """An adapter folder is broken, or its contract does not fit the flow."""


class BadValue(BadInput):
    """An input value does not fit the parameter's type."""


class BudgetTooSmall(BadInput):
    """The worst case of a flow is known before it runs, and is more than its budget."""


class FetchFailed(FlowError):
    """A model could not be fetched from the hub, and it may be possible another time."""

    exit_code = 3


class BadUsage(FlowError):
    """The request itself makes no sense."""

    exit_code = 2


class ModuleClosed(BadUsage):
    """A module runs nothing any more once it is closed."""


class RunFailed(FlowError):
    """The flow was well-formed and its run failed: a tool raised, a `require` did not hold, a limit was met."""

    exit_code = 3


class RequirementFailed(RunFailed):
    """A `require` of the flow did not hold; `said` is its own message, without the line."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said


class TimedOut(RunFailed):
    """A tool or a call of the model took longer than the `timeout` that the flow gives it."""


class BadMock(RunFailed):
    """A call that a test mocks has no answer: no mock fits its arguments, or one gives what is not of its type. No
    `else` of the flow handles that."""


class BudgetSpent(RunFailed):
    """A run spent more than a flow's budget; the message says what was spent where."""
