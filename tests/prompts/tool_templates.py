"""Small chat templates that write calls of tools and their results as public ones do."""

from __future__ import annotations

HARMONY = (  # as gpt-oss's: a call is a message of its own, and a result needs one before it
    "{% set last = namespace(name=none) %}{% for m in messages %}{% if m.role == 'assistant' and m.tool_calls %}"
    "{% if m.thinking %}{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|stop|>' }}{% endif %}"
    "{% set f = m.tool_calls[0].function %}{{ '<|start|>assistant to=functions.' + f.name }}"
    "{{ '<|channel|>commentary json<|message|>' }}{{ f.arguments | tojson }}{{ '<|call|>' }}"
    "{% set last.name = f.name %}"
    "{% elif m.role == 'assistant' %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content }}"
    "{{ '<|return|>' if loop.last and not add_generation_prompt else '<|stop|>' }}"
    "{% elif m.role == 'tool' %}{% if last.name is none %}{{ raise_exception('a result without a call') }}{% endif %}"
    "{{ '<|start|>functions.' + last.name + ' to=assistant<|channel|>commentary<|message|>' }}"
    "{{ m.content | tojson }}{{ '<|stop|>' }}"
    "{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|stop|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
KIMI = (  # as Kimi K2's: the name of the tool stands in the call's id, which counts calls
    "{% for m in messages %}{% set name = m.get('name') or m.role %}"
    "{{ '<|im_' + (m.role if m.role in ('user', 'assistant') else 'system') + '|>' + name + '<|middle|>' }}"
    "{% if m.role == 'assistant' and m.tool_calls %}{% if m.content %}{{ m.content }}{% endif %}"
    "{{ '<|calls|>' }}{% for c in m.tool_calls %}{{ '<|call|>' + c.id + '<|args|>' }}"
    "{% if c.function.arguments is string %}{{ c.function.arguments }}"
    "{% else %}{{ c.function.arguments | tojson }}{% endif %}{{ '<|call_end|>' }}{% endfor %}{{ '<|calls_end|>' }}"
    "{% elif m.role == 'tool' %}{{ '## Return of ' + m.tool_call_id + '\n' + m.content }}"
    "{% else %}{{ m.content }}{% endif %}{{ '<|stop|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_assistant|>assistant<|middle|>' }}{% endif %}"
)
COMMAND_R = (  # as Command R7B's: the template counts calls, and an answer is kept in another form than a call
    "{% set seen = namespace(calls=[]) %}{% for m in messages %}{% if m.role == 'assistant' and m.tool_calls %}"
    "{{ '<|bot|><|think|>' }}{{ m.reasoning_content }}{{ '<|think_end|><|action|>[\n' }}{% for c in m.tool_calls %}"
    '{{ \'    {"tool_call_id": "\' ~ (seen.calls | length) ~ \'", "tool_name": "\' + c.function.name }}'
    "{{ '\", \"parameters\": ' }}{{ c.function.arguments | tojson }}{{ '}\n' }}"
    "{% set seen.calls = seen.calls + [c.id] %}{% endfor %}{{ ']<|action_end|><|stop|>' }}"
    "{% elif m.role == 'assistant' %}{{ '<|bot|><|reply|>' + m.content + '<|reply_end|><|stop|>' }}"
    "{% elif m.role == 'tool' %}{{ '<|sys|><|result|>[\n    {\"tool_call_id\": \"' }}"
    "{% for id in seen.calls %}{% if id == m.tool_call_id %}{{ loop.index0 }}{% endif %}{% endfor %}"
    '{{ \'", "results": {"0": \' }}{{ m.content | tojson }}{{ \'}}\n]<|result_end|><|stop|>\' }}'
    "{% else %}{{ ('<|sys|>' if m.role == 'system' else '<|user|>') + m.content + '<|stop|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|bot|>' }}{% endif %}"
)
MISTRAL = (  # as Mistral Small's: turns alternate but for calls and results, an id has nine letters
    "{{ '<s>' }}{% set ns = namespace(index=0) %}{% for m in messages %}"
    "{% if m.role == 'user' or (m.role == 'assistant' and not m.tool_calls) %}"
    "{% if (m.role == 'user') != (ns.index % 2 == 0) %}{{ raise_exception('turns must alternate') }}{% endif %}"
    "{% set ns.index = ns.index + 1 %}{% endif %}{% endfor %}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + m.content + '[/INST]' }}{% elif m.tool_calls %}{{ '[TOOL_CALLS] [' }}{% for c in m.tool_calls %}"
    "{% if c.id | length != 9 %}{{ raise_exception('ids have nine letters') }}{% endif %}"
    "{{ (c.function | tojson)[:-1] + ', \"id\": \"' + c.id + '\"}' }}{% endfor %}{{ ']</s>' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + '</s>' }}{% elif m.role == 'tool' %}"
    "{% if m.tool_call_id is not defined or m.tool_call_id | length != 9 %}{{ raise_exception('no id') }}{% endif %}"
    "{{ '[TOOL_RESULTS] {\"content\": ' + m.content | string + ', \"call_id\": \"' + m.tool_call_id + '\"}' }}"
    "{{ '[/TOOL_RESULTS]' }}{% endif %}{% endfor %}"
)
