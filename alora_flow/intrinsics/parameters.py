"""The `parameters` of an io.yaml: settings of sampling, by their names in OpenAI's chat completions and in vLLM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alora_flow.intrinsics.yaml_file import Entry
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.relations import assignable
from alora_flow.language.meaning.settings import SAMPLING
from alora_flow.language.report.diagnostics import did_you_mean

SETTINGS: Mapping[str, t.Type] = {
    **{name: type for name, type in SAMPLING.items() if name != "timeout"},
    "repetition_penalty": t.FloatType(0.01),
}
NAMES = {"max_completion_tokens": "max_tokens", **{name: name for name in SETTINGS}}
"""What has an effect → the setting of `with (…)` that it is."""

SCHEMAS = ("response_format", "guided_json")
"""Where servers take the schema of an answer, if the file does not say it beside its parameters."""

WITHOUT_EFFECT = {
    "n": (1,),
    "presence_penalty": (0, 0.0),
    "frequency_penalty": (0, 0.0),
    "stream": (False,),
    "logprobs": (True, False),
    "top_logprobs": tuple(range(21)),
}
"""What is read and changes nothing, by the values that it may have."""


def read_parameters(entry: Entry) -> Mapping[str, Any]:
    """Settings by the names of `with (…)`. Raises BadAdapter with the place of one that is unknown or out of range."""
    found: dict[str, Any] = {}
    for name, value in entry.fields().items():
        if name == "extra_body":
            found |= read_parameters(value)
        elif name in SCHEMAS:
            continue
        elif name in WITHOUT_EFFECT:
            _check_neutral(value)
        elif name not in NAMES:
            known = [*NAMES, *WITHOUT_EFFECT, *SCHEMAS]
            help = did_you_mean(name, known) or f"known are {', '.join(known)}"
            raise value.wrong(f"parameter '{name}' is not supported", help)
        elif not value.null:
            found[NAMES[name]] = _setting(value, NAMES[name])
    return found


def schemas(entry: Entry) -> Iterator[Entry]:
    """The schemas of the answer that stand among the parameters."""
    for name, value in entry.fields().items():
        if name == "extra_body":
            yield from schemas(value)
        elif name in SCHEMAS and not value.null:
            yield value


def _setting(entry: Entry, name: str) -> Any:
    wanted = SETTINGS[name]
    if name == "stop":
        texts = [item.text() for item in entry.items()] if entry.kind == "seq" else [entry.text()]
        if "" in texts:
            raise entry.wrong("a stop string is empty")
        return tuple(texts)
    number = entry.number()
    whole = isinstance(number, int)
    exact: t.Type = t.IntType(int(number), int(number)) if whole else t.FloatType(number, number)
    if not assignable(exact, wanted):
        raise entry.unlike(str(wanted))
    return number


def _check_neutral(entry: Entry) -> None:
    allowed = WITHOUT_EFFECT[entry.name]
    value = entry.plain()
    if not entry.null and not any(value == each and type(value) is type(each) for each in allowed):
        raise entry.wrong(f"parameter '{entry.name}' is not supported with {entry.found}", "leave it out")
