"""From text to a checked program: `load`, `check`, `format_source`. Imports neither torch nor networkx."""

from alora_flow.language.check import check, check_file, load
from alora_flow.language.diagnostics import Diagnostic, FlowErrors, Note
from alora_flow.language.printer import format_source
from alora_flow.language.program import Program
from alora_flow.language.source import Source, Span

__all__ = [
    "Diagnostic",
    "FlowErrors",
    "Note",
    "Program",
    "Source",
    "Span",
    "check",
    "check_file",
    "format_source",
    "load",
]
