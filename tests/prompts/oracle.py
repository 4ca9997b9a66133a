"""Small chat templates with what the public ones do, and transformers' rendering of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import Prompter, Symbol
from alora_flow.prompts.tokens import Tokenizer
from tests import tiny

MARKS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "[INST]", "[/INST]"]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_ALTERNATE = (
    "{% for m in turns %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
)
MERGED = (  # the system's turn inside the first user's
    "{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}{% set said = messages[0]['content'] %}"
    "{% else %}{% set turns = messages %}{% set said = '' %}{% endif %}"
    + _ALTERNATE
    + "{% if loop.index0 == 0 and said %}{% set text = '<<SYS>>\n' + said + '\n<</SYS>>\n\n' + m['content'] %}"
    "{% else %}{% set text = m['content'] %}{% endif %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LAST_USER = (  # the system's turn inside the last user's
    "{% if messages[0].role == 'system' %}{% set turns = messages[1:] %}{% set said = messages[0].content %}"
    "{% else %}{% set turns = messages %}{% endif %}{{ bos_token }}"
    + _ALTERNATE
    + "{% if m.role == 'user' and loop.last and said is defined %}"
    "{{ '[INST]' + said + '\n\n' + m.content + '[/INST]' }}"
    "{% elif m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}"
    "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% set turns = messages %}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    + _ALTERNATE
    + "{{ '<|im_start|>' + ('model' if m['role'] == 'assistant' else 'user') + '\n' + m['content'] | trim"
    " + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
)
THOUGHTS = (  # of earlier answers are cut; the last one's are written anew
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{% set text = m.content %}{% set thought = '' %}"
    "{% if m.role == 'assistant' and '</think>' in text %}"
    "{% set thought = text.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.index0 > ns.last %}{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}"
    "{{ text + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OPENS_THINKING = (
    "{{ bos_token }}{% for m in messages %}{% set text = m.content %}"
    "{% if m.role == 'assistant' and '</think>' in text %}{% set text = text.split('</think>')[-1] %}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' + text + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
SWITCHED = (  # by what the system says
    "{% set quiet = messages[0].role == 'system' and '/no_think' in messages[0].content %}{% for m in messages %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content.replace('/no_think', '').rstrip() + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if quiet %}{{ '<think>\n\n</think>\n' }}{% endif %}{% endif %}"
)
ENDED = (  # by an end of its own where no answer follows
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% else %}{{ eos_token }}{% endif %}"
)
GENERATION = (
    "{%- for m in messages %}\n{{- '<|im_start|>' + m.role + '\n' }}\n{%- if m.role == 'assistant' %}\n"
    "{%- generation %}\n{{- m.content + '<|im_end|>' }}\n{%- endgeneration %}\n{%- else %}\n"
    "{{- m.content + '<|im_end|>' }}\n{%- endif %}\n{%- endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DATED = "{{ '<|im_start|>system\nToday is ' + strftime_now('%d %B %Y') + '.<|im_end|>' }}" + CHATML
TAKES_DOCUMENTS = (
    "{% if documents %}{% for d in documents %}{{ '<|im_start|>document ' + d['doc_id'] | string + ' ' + d['title']"
    " + '\n' + d['text'] + '<|im_end|>\n' }}{% endfor %}{% endif %}" + CHATML
)
DOCUMENTS_AS_JSON = (
    "{% if documents %}{{ '<|im_start|>system\n' }}{% for d in documents %}{{ (d | tojson) + '\n' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endif %}" + CHATML
)
TOOLS = (
    "{% for m in messages %}{% if m.role == 'tool' %}{{ '<|im_start|>user\n[' + m.content + ']<|im_end|>\n' }}"
    "{% elif m.tool_calls %}{{ '<|im_start|>assistant\n' + (m.content or '') }}{% for c in m.tool_calls %}"
    "{{ '[' + c.function.name + ' ' + (c.function.arguments | tojson) + ']' }}{% endfor %}{{ '<|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
IPYTHON = (
    "{% for m in messages %}{% if m.role in ('user', 'assistant', 'system') %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content | trim + '<|im_end|>' }}{% elif m.role == 'ipython' %}"
    "{{ '<|im_start|>ipython\n' + (m.content | tojson) + '<|im_end|>' }}"
    "{% else %}{{ raise_exception('unknown role') }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PARTS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% for part in m.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

TAKE_ALL = {
    "chatml": CHATML,
    "thoughts": THOUGHTS,
    "opens thinking": OPENS_THINKING,
    "switched": SWITCHED,
    "ended": ENDED,
    "generation": GENERATION,
    "dated": DATED,
    "documents": TAKES_DOCUMENTS,
    "tools": TOOLS,
    "ipython": IPYTHON,
}
"""Templates that take every order of system's, user's and assistant's turns."""

ALTERNATING = {"merged": MERGED, "last user": LAST_USER}
"""Templates that take a system's turn first, and then the others by turns."""


class Model:
    """A model folder of tests, by this project and by transformers."""

    def __init__(self, folder: Path, template: str) -> None:
        tiny.write_model_folder(folder, template, bos_token="<s>", eos_token="</s>")
        made = tiny.tokenizer()
        made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in MARKS])
        made.save(str(folder / "tokenizer.json"))
        self.theirs = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")
        self.theirs.chat_template = template
        self.tokenizer = Tokenizer(folder)
        self.prompter = Prompter(self.tokenizer, ChatTemplate(folder, self.tokenizer.control))

    def rendered(self, messages: Sequence[dict[str, Any]], documents: Any = None, opened: bool = True) -> str:
        """As transformers has it."""
        return str(
            self.theirs.apply_chat_template(
                list(messages), documents=documents, add_generation_prompt=opened, tokenize=False
            )
        )

    def tokens(self, text: str) -> list[int]:
        """Of a whole text, by transformers."""
        return list(self.theirs.encode(text, add_special_tokens=False))

    def prompt(self, thread: Any) -> tuple[Symbol, ...]:
        """Of a call of the base model on a thread."""
        return self.prompter.thread_symbols(thread) + self.prompter.generation_tokens(thread)
