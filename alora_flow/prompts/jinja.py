"""Where a model folder keeps its chat templates, and the environment that they are written for.

As transformers reads them: `chat_template.jinja` and `additional_chat_templates/` before what `tokenizer_config.json`
holds, which is one template, a list of named ones, or a map of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from alora_flow.errors import BadModel
from alora_runtime.errors import ModelError
from alora_runtime.tokenizer_file import read_settings, special_texts

HELP = "flows need an instruction-tuned model with chat_template.jinja"


class _Generation(Extension):
    """`{% generation %} … {% endgeneration %}`: marks for training what the assistant wrote, and writes it as it is."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(now: Callable[[], datetime]) -> Environment:
    """What transformers' documentation of chat templates promises them. `now`: the date that they write."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda form: now().strftime(form)
    return made


def read_templates(folder: Path, told: Path) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """The sources of a folder's templates by name, and the special tokens' texts, which templates write. Raises
    BadModel where none is the default one, for the model that is told of."""
    try:
        templates = dict(_in_files(folder)) or dict(_in_settings(folder))
        texts = special_texts(folder)
    except ModelError as error:
        raise BadModel(error.message, error.help) from error
    if "default" not in templates:
        named = f"; it has {', '.join(sorted(templates))}, and none is named 'default'" if templates else ""
        raise BadModel(f"{told} has no chat template{named}", HELP)
    return templates, texts


def _in_files(folder: Path) -> Iterator[tuple[str, str]]:
    file = folder / "chat_template.jinja"
    if file.is_file():
        yield "default", _text(file)
    for file in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        yield file.stem, _text(file)


def _in_settings(folder: Path) -> Iterator[tuple[str, str]]:
    kept = read_settings(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(kept, str):
        kept = {"default": kept}
    elif isinstance(kept, list):
        kept = {item.get("name"): item.get("template") for item in kept if isinstance(item, dict)}
    for name, source in kept.items() if isinstance(kept, dict) else ():
        if not (isinstance(name, str) and isinstance(source, str)):
            raise BadModel(f"{folder / 'tokenizer_config.json'}: chat_template must be a text, or texts by name", HELP)
        yield name, source


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadModel(f"{file} is not UTF-8: {error}", "save it as UTF-8") from error


# ------------------------------------------------------------------- what a template looks at


def looked_for(tree: nodes.Template) -> frozenset[str]:
    """The texts that a template compares contents with, or cuts and replaces in them: `</think>`, `/no_think`."""
    asked: list[nodes.Node] = []
    for node in tree.find_all((nodes.Compare, nodes.Call, nodes.Filter, nodes.Test)):
        if not isinstance(node, nodes.Call) or isinstance(node.node, nodes.Getattr):
            asked.append(node)
    texts = {const.value for node in asked for const in node.find_all(nodes.Const) if isinstance(const.value, str)}
    return frozenset(text.strip() for text in texts if len(text.strip()) > 2 and not text.strip().isidentifier())


def constants(tree: nodes.Template) -> frozenset[str]:
    """All texts in a template: the roles that it asks for, the fields of messages."""
    return frozenset(node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str))


def names(tree: nodes.Template) -> frozenset[str]:
    """All variables and attributes in a template."""
    attributes = (node.attr for node in tree.find_all(nodes.Getattr))
    return frozenset((*attributes, *(node.name for node in tree.find_all(nodes.Name))))
