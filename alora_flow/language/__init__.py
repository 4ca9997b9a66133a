"""From text to a checked program: `load`, `check`, `format_source`. Imports neither torch nor networkx."""

from alora_flow.language.checking.check import check, check_file, load
from alora_flow.language.meaning.program import Program
from alora_flow.language.printing.file import format_source
from alora_flow.language.report.diagnostics import Diagnostic, FlowErrors, Note
from alora_flow.language.report.source import Source, Span

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
