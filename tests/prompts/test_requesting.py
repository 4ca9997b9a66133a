"""How a template writes a call of a tool: what a model is to write in front of the arguments, and behind them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from alora_flow.prompts.requesting import call_form
from alora_flow.prompts.template import ChatTemplate
from tests.prompts.oracle import CHATML
from tests.prompts.tool_templates import COMMAND_R, HARMONY, KIMI

QWEN = (  # as Qwen2.5's
    "{% for message in messages %}{% if message.role == 'assistant' and message.tool_calls %}"
    "{{- '<|im_start|>' + message.role }}{% if message.content %}{{- '\n' + message.content }}{% endif %}"
    "{% for tool_call in message.tool_calls %}{% if tool_call.function is defined %}"
    "{% set tool_call = tool_call.function %}{% endif %}"
    '{{- \'\n<tool_call>\n{"name": "\' }}{{- tool_call.name }}{{- \'", "arguments": \' }}'
    "{{- tool_call.arguments | tojson }}{{- '}\n</tool_call>' }}{% endfor %}{{- '<|im_end|>\n' }}"
    "{% else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = (  # as Llama 3.1's
    "{% for message in messages %}{% if 'tool_calls' in message %}"
    "{% set tool_call = message.tool_calls[0].function %}"
    "{{- '<|start|>assistant<|header|>\n\n' }}{{- '{\"name\": \"' + tool_call.name + '\", ' }}{{- '\"parameters\": ' }}"
    "{{- tool_call.arguments | tojson }}{{- '}' }}{{- '<|im_end|>' }}"
    "{% else %}{{- '<|start|>' + message['role'] + '<|header|>\n\n' + message['content'] + '<|im_end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{- '<|start|>assistant<|header|>\n\n' }}{% endif %}"
)
AS_TEXT = (  # whose arguments are text already
    "{% for m in messages %}{% if m.tool_calls %}<|im_start|>assistant\n"
    "{% for c in m.tool_calls %}<call>{{ c.function.name }}({{ c.function.arguments + '' }})</call>{% endfor %}"
    "<|im_end|>"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SAYS_CONTENT = AS_TEXT.replace("{% for c in", "{{ m.content }}{% for c in")
PARAMETERS = (  # as Qwen3-Coder's, which writes no JSON
    "{% for m in messages %}{% if m.tool_calls %}<|im_start|>assistant\n<function={{ m.tool_calls[0].function.name }}>"
    "{% for k, v in m.tool_calls[0].function.arguments|items %}<parameter={{ k }}>{{ v }}{% endfor %}<|im_end|>"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MISTRAL = (  # as Mistral Small 3.1's, with an id
    "{% for m in messages %}{% if m.tool_calls is defined %}{{ '[TOOL_CALLS] [' }}{% for c in m.tool_calls %}"
    "{% set out = c.function | tojson %}{{ out[:-1] }}{% if not c.id is defined or c.id | length < 9 %}"
    "{{ raise_exception('ids have nine letters') }}{% endif %}{{ ', \"id\": \"' + c.id[-9:] + '\"}' }}{% endfor %}"
    "{{ ']<|im_end|>' }}{% elif m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
)
DEEPSEEK = (  # as DeepSeek V3.1's, which takes arguments as text
    "{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls is not none %}<|A|>"
    "{% for c in m.tool_calls %}{{ '<|calls|><|call|>' + c['function']['name'] + '<|sep|>' + c['function']['arguments']"
    " + '<|call_end|>' }}{% endfor %}<|calls_end|><|im_end|>{% elif m.role == 'user' %}{{ '<|U|>' + m.content }}"
    "{% else %}{{ '<|A|>' + m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|A|>{% endif %}"
)
CONTROL = re.findall(r"<\|\w+\|>", MISTRAL + DEEPSEEK + QWEN)
FORMS = [
    (MISTRAL, ('[TOOL_CALLS] [{"name": "look", "arguments": ', ', "id": "calltool1"}]')),
    (DEEPSEEK, ("<|calls|><|call|>look<|sep|>", "<|call_end|><|calls_end|>")),
    (QWEN, ('<tool_call>\n{"name": "look", "arguments": ', "}\n</tool_call>")),
    (LLAMA, ('{"name": "look", "parameters": ', "}")),
    (AS_TEXT, ("<call>look(", ")</call>")),
    (SAYS_CONTENT, ("<call>look(", ")</call>")),
    (PARAMETERS, None),
    (CHATML, None),
]


@pytest.mark.parametrize(
    ("source", "expected"), FORMS, ids=["mistral", "deepseek", "qwen", "llama", "text", "content", "no JSON", "none"]
)
def test_the_form_is_the_templates_own(tmp_path: Path, source: str, expected: tuple[str, str] | None) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": source}))
    form = call_form(ChatTemplate(tmp_path, CONTROL), "look", "<|im_end|>")
    assert (form and (next(iter(form.befores)), form.behind)) == expected
    assert form is None or not form.apart


COUNTED = [
    (
        HARMONY,
        [
            (" to=functions.look<|channel|>commentary json<|message|>", "calltool1"),
            ("<|channel|>commentary to=functions.look <|constrain|>json<|message|>", "calltool1"),
        ],
        "<|call|>",
        (True, ("<|channel|>analysis<|message|>", "<|stop|>")),
    ),
    (
        KIMI,
        [(f"<|calls|><|call|>functions.look:{n}<|args|>", f"functions.look:{n}") for n in range(9)],
        "<|call_end|><|calls_end|>",
        (False, None),
    ),
    (
        COMMAND_R,
        [
            (f'<|action|>[\n    {{"tool_call_id": "{n}", "tool_name": "look", "parameters": ', f"calltool{n + 1}")
            for n in range(9)
        ],
        "}\n]<|action_end|>",
        (True, ("<|think|>", "<|think_end|>")),
    ),
]


@pytest.mark.parametrize(("source", "befores", "behind", "kind"), COUNTED, ids=["gpt-oss", "Kimi K2", "Command R"])
def test_calls_are_counted_and_told_apart(
    tmp_path: Path, source: str, befores: list[tuple[str, str]], behind: str, kind: tuple[bool, tuple[str, str] | None]
) -> None:
    """Each call as the template writes it behind those before it; what stands for no thoughts is no part of it."""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": source}))
    control = [*re.findall(r"<\|\w+\|>", source), "<|constrain|>"] if source == HARMONY else CONTROL
    template = ChatTemplate(tmp_path, {*control, *re.findall(r"<\|\w+\|>", source)})
    form = call_form(template, "look", "<|stop|>")
    assert form is not None
    assert [*form.befores.items()] == befores
    assert (form.behind, (form.apart, form.thoughts)) == (behind, kind)
