"""What the recipes' commands have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable

from alora_flow.errors import FlowError


def run(main: Callable[[], None]) -> None:
    """A recipe's command. What is wrong with its input is told in a line or two, as alora-flow does, and ends it with
    the error's exit code."""
    try:
        main()
    except FlowError as error:
        told = [f"error: {error.message}", *([f"help: {error.help}"] if error.help else [])]
        print(*told, sep="\n", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"error: {error.filename} can't be written: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
