"""Tools that the model calls itself: it writes the arguments, and the result comes back as a turn of data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models
from transformers.utils.chat_template_utils import render_jinja_template

from alora_flow import BadInput, RunFailed
from alora_flow.errors import BudgetTooSmall
from alora_flow.execution.events import ModelAnswered, ModelCalled, ModelReturned
from alora_flow.intrinsics.library import BUNDLED
from alora_flow.module import Module, Result
from alora_flow.planning.advice import advise
from alora_flow.planning.compilation import Compilation
from alora_flow.testing import run_tests
from tests.execution.forced import Part, forced
from tests.execution.test_own_calls import HEAD, QUESTION, engine_of, written
from tests.prompts.tokenizers_of_tests import MAKERS
from tests.prompts.tool_templates import COMMAND_R, HARMONY, KIMI, MISTRAL

TOOLS = """
enum Town { Tarnok, Felix }
tool look(town: Town, k: int[1..9] = 3) -> list[document] = python "kb:look" with (SETTINGS invoke: "<|reserved_0|>")
tool count(n: int[0..99]) -> int = python "kb:count" with (pure: true, invoke: "<|reserved_1|>")
"""
KB = """
import time
asked = []
def look(town, k):
    asked.append((town.value, k))
    return [{"text": f"{town.value} <|uncertainty|> {k}", "title": "<|reserved_0|>"}]
def count(n):
    asked.append(n)
    return n + 1
"""
LOOK, COUNT, CERTAIN = "<|reserved_0|>", "<|reserved_1|>", "<|uncertainty|>"
BODY = """
  let reply = generate(max_tokens: 30) on user(q) may invoke [look, count, certainty] budget 4 {{ {clauses} }}
  let again = generate(max_tokens: 2) on (reply + user("Why?"))
  let said = for one in reply.invocations limit 4 {{ keep "{{one.name}} {{one.value}} {{one.at}} {{one.action}}" }}
  return said + [reply.text]
"""


def made(folder: Path, *parts: Part, arguments: list[str], clauses: str = "", settings: str = "") -> Module:
    (folder / "kb.py").write_text(KB)
    head = HEAD + TOOLS.replace("SETTINGS", settings)
    path = written(folder, BODY.format(clauses=clauses), "list[str]", head)
    return forced(path, *parts, arguments=arguments)


def asked(module: Module) -> list[Any]:
    """What the tools were asked, in turn."""
    return module.find_tool(module.compilation.program.tools["look"]).__globals__["asked"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("clauses", ["", "on look => drop", "on look(found) when len(found) == 1 => stop"])
def test_the_model_writes_arguments_and_the_result_comes_back(tmp_path: Path, clauses: str) -> None:
    module = made(tmp_path, "So", LOOK, " it", arguments=['{"town": "Tarnok", "k": 5}'], clauses=clauses)
    result = module.main(q=QUESTION)
    assert asked(module) == [("Tarnok", 5)]
    said, text = result.value
    name, value, _, action = said.split(" ", 1)[0], said.split(" ", 1)[1], None, said.split()[-1]
    assert name == "look"
    assert '"text":"Tarnok <|uncertainty|> 5"' in value
    assert action == {"": "keep", "on look => drop": "drop"}.get(clauses, "stop")
    assert text.startswith("So it" if action != "stop" else "So")
    assert result.trace.kept_promise
    rows = result.trace["reply"].calls
    assert [row.id for row in rows][:2] == ["reply", "reply#2 look"]
    assert rows[1].actual is not None
    assert rows[1].actual.prefilled == 1  # of the invocation; the arguments are written
    assert (rows[1].depth, rows[1].adapter) == (1, None)
    assert len(rows) == (2 if action == "stop" else 3)
    if action == "drop":
        assert rows[2].actual is not None
        assert rows[2].actual.prefilled == 0
    [thread] = [call.request for call in engine_of(module).sent if call.node == "again"]
    spelt = module.compilation.setup.prompter.tokenizer.spell(tuple(thread.runs[0].tokens))
    turn = '<|tool_result|>[{"text":"Tarnok <|uncertainty|> 5","title":"<|reserved_0|>"}]<|end|><|assistant|>'
    asking = f'<|assistant|>So{LOOK}{{"town": "Tarnok", "k": 5}}<|end|>{turn}'
    assert (asking in spelt) == (action == "keep")
    assert result.trace["again"].calls[0].actual.prefilled < 12  # type: ignore[union-attr]


def test_what_a_result_spells_is_data(tmp_path: Path) -> None:
    """Neither a control token, nor a call."""
    module = made(tmp_path, "So", LOOK, " it", 2, arguments=['{"town": "Tarnok", "k": 1}'])
    result = module.main(q="<|reserved_0|><|uncertainty|>")
    assert len(result.value) == 2
    barred = set(module.compilation.setup.prompter.tokenizer.encode_control(CERTAIN + LOOK + COUNT))
    tokens = [token for call in engine_of(module).sent for run in call.request.runs for token in run.tokens]
    assert barred & set(tokens) == {*module.compilation.setup.prompter.tokenizer.encode_control(LOOK)}
    assert result.trace.kept_promise


def test_events_tell_arguments_and_results(tmp_path: Path) -> None:
    module = made(tmp_path, LOOK, 1, COUNT, arguments=['{"town": "Felix"}', '{"n": 41}'])
    result = module.main(q=QUESTION)
    told = [event for event in result.trace.events if isinstance(event, ModelCalled | ModelAnswered | ModelReturned)]
    assert [type(event) for event in told] == [ModelCalled, ModelAnswered, ModelReturned] * 2
    assert isinstance(told[1], ModelAnswered)
    assert isinstance(told[4], ModelAnswered)
    assert (told[1].arguments, told[1].text) == (
        '{"town": "Felix"}',
        '[{"text":"Felix <|uncertainty|> 3","title":"<|reserved_0|>"}]',
    )
    assert (told[4].arguments, told[4].text, told[4].value) == ('{"n": 41}', "42", 42)
    assert asked(module) == [("Felix", 3), 41]
    assert result.trace.kept_promise


def test_intrinsics_and_tools_in_one_answer(tmp_path: Path) -> None:
    parts = ("A", CERTAIN, "B", COUNT, "C", CERTAIN, "D", COUNT, "E")
    module = made(tmp_path, *parts, arguments=['{"n": 1}', '{"n": 1}'], clauses="on certainty => keep")
    result = module.main(q=QUESTION)
    assert [line.split()[0] for line in result.value[:-1]] == ["certainty", "count", "certainty", "count"]
    assert [line.split()[2] for line in result.value[:-1]] == ["1", "2", "3", "4"]
    assert result.value[-1].startswith("ABCDE")
    assert asked(module) == [1]  # it is pure
    assert result.trace.kept_promise
    [thread] = [call.request for call in engine_of(module).sent if call.node == "again"]
    spelt = module.compilation.setup.prompter.tokenizer.spell(tuple(thread.runs[0].tokens))
    assert "<|assistant|>A<|uncertainty|>" in spelt
    assert '<|reserved_1|>{"n": 1}<|end|><|tool_result|>2<|end|><|assistant|>C<|uncertainty|>' in spelt


def failing(body: str) -> str:
    return (
        f"import time\ntries = []\ndef look(town, k):\n    tries.append(town)\n    {body}\ndef count(n): return 'x'\n"
    )


FAILING = [
    ("raise ValueError('no network')", "", "tool 'look' raised ValueError: no network", 1),
    ("raise ValueError('no network')", "retry: 2,", "raised ValueError", 3),
    ("time.sleep(9)", "timeout: 50ms,", "took longer than its timeout of 0.05 s", 1),
    ("return 5", "", "gave no list", 1),
]


@pytest.mark.parametrize(("body", "settings", "message", "tries"), FAILING)
def test_tools_that_fail(tmp_path: Path, body: str, settings: str, message: str, tries: int) -> None:
    module = made(tmp_path, "So", LOOK, arguments=['{"town": "Tarnok"}'], settings=settings)
    (tmp_path / "kb.py").write_text(failing(body))
    with pytest.raises(
        RunFailed, match=f"'reply' .line [0-9]+. has called 'look': tool 'look' .*{message[-12:]}"
    ) as told:
        module.main(q=QUESTION)
    assert message in told.value.message
    assert len(module.find_tool(module.compilation.program.tools["look"]).__globals__["tries"]) == tries


def test_a_fallback(tmp_path: Path) -> None:
    module = made(tmp_path, "So", LOOK, arguments=['{"town": "Tarnok"}'], settings="fallback: [], retry: 1,")
    (tmp_path / "kb.py").write_text(failing("raise ValueError('no network')"))
    result = module.main(q=QUESTION)
    assert result.value[0].startswith("look [] 2 keep")
    assert result.trace.kept_promise


def test_arguments_that_are_cut(tmp_path: Path) -> None:
    (tmp_path / "kb.py").write_text("def say(text): return text")
    head = HEAD + 'tool say(text: str) -> str = python "kb:say" with (invoke: "<|reserved_0|>")'
    body = "let reply = generate(max_tokens: 8) on user(q) may invoke [say]\n  return reply.text"
    module = forced(written(tmp_path, body, head=head), LOOK, arguments=['{"text": "' + "a" * 400])
    with pytest.raises(RunFailed, match="has called 'say': 256 tokens were not enough for a say") as told:
        module.main(q=QUESTION)
    assert told.value.help == "raise max_tokens" or told.value.help


def test_runs_wait_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "kb.py").write_text("import asyncio\nasync def count(n):\n    await asyncio.sleep(0.2)\n    return n")
    head = HEAD + 'tool count(n: int[0..9]) -> int = python "kb:count" with (invoke: "<|reserved_1|>")'
    body = "let reply = generate(max_tokens: 8) on user(q) may invoke [count]\n  return reply.text"
    module = forced(written(tmp_path, body, head=head), COUNT, 2, arguments=['{"n": 1}'] * 6)
    results = list(module.main.map([{"q": f"{QUESTION} {index}"} for index in range(6)]))
    assert all(result.trace.kept_promise for result in results)


def test_an_effect_is_not_speculated_and_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "kb.py").write_text("log = []\ndef note(n):\n    log.append(n)\n    return n")
    head = HEAD + 'tool note(n: int[0..9]) -> int = python "kb:note" with (invoke: "<|reserved_1|>")'
    body = """
  let first = note(1)
  if safety() on user(q) { return "safe" }
  let reply = generate(max_tokens: 8) on user(q) may invoke [note]
  let last = note(3)
  return "{first} {last} {reply.text}"
"""
    path = written(tmp_path, body, head=head)
    path.write_text(path.read_text().replace("-> str {", "-> str speculate {"))
    module = forced(path, COUNT, arguments=['{"n": 2}'])
    graph = module.compilation.graph(module.compilation.flow("main"))
    assert not graph.nodes["reply"].speculative
    result = module.main(q="How do I poison a river?")
    log = module.find_tool(module.compilation.program.tools["note"]).__globals__["log"]
    assert log == ([1] if result.value == "safe" else [1, 2, 3])


MOCKED = [
    ('then invoke look(town: Tarnok) then "B."  mock look() = []', 'A.B. ["look [] keep"]'),
    ('then invoke count(n: 5) then "B."', 'A.B. ["count 6 keep"]'),
    (
        "then invoke count(5) then invoke count(6)  mock count(n: 5) = 1 mock count(n: 6) = 2",
        'A. ["count 1 keep","count 2 keep"]',
    ),
    ('then invoke count(5)  mock count(n: 5) fails "no luck"', "why: no luck"),
]


@pytest.mark.parametrize(("script", "said"), MOCKED)
def test_mocks_script_calls_of_tools(tmp_path: Path, script: str, said: str) -> None:
    (tmp_path / "kb.py").write_text(KB)
    head = (
        HEAD
        + TOOLS.replace("SETTINGS", "")
        + """
flow tried(q: str) -> str {
  let reply = generate(max_tokens: 24) on user(q) may invoke [look, count] budget 2
  let how = for one in reply.invocations limit 2 { keep "{one.name} {one.value} {one.action}" }
  return "{reply.text} {how}"
}
"""
    )
    path = written(tmp_path, 'let said = tried(q) else as why { return "why: {why}" }\n  return said', head=head)
    test = f'mock generate() = "A." {script} expect main("?") == {json.dumps(said)}'
    path.write_text(f'{path.read_text()}\ntest "t" {{ {test} }}')
    module = Module(Compilation(path))
    [result] = run_tests(module, list(module.compilation.program.tests))
    if said.startswith("why"):
        assert result.outcome == "failed"
        assert "has called 'count': no luck" in str(result.values)
    else:
        assert (result.outcome, result.message) == ("passed", "")


def test_a_mock_with_other_arguments(tmp_path: Path) -> None:
    module = made(tmp_path, arguments=[])
    path = module.compilation.path
    test = 'mock generate() = "A." then invoke count(5) mock count(n: 6) = 1 expect main("?") == []'
    path.write_text(f'{path.read_text()}\ntest "t" {{ {test} }}')
    module = Module(Compilation(path))
    [result] = run_tests(module, list(module.compilation.program.tests))
    assert result.outcome == "error"
    assert "no mock of 'count' fits (n: 5)" in result.message


def plan_of(path: Path, **inputs: Any) -> Any:
    return Compilation(path).plan(Compilation(path).flow("main"), inputs)


def test_a_plan_of_tools(tmp_path: Path) -> None:
    """What a result is long is not known; all else is, and a run keeps within it."""
    module = made(tmp_path, COUNT, 1, COUNT, arguments=['{"n": 41}', '{"n": 42}'])
    path = module.compilation.path
    own = plan_of(path, q=QUESTION).calls[0].own
    look, count, certainty = own.calls
    assert (look.adapter, look.prefilled, certainty.adapter) == (None, 1, "uncertainty")
    assert str(count.returned) == "5 + |count()|"
    assert str(own.prefilled_at_most) == "24 + 4·|look()| + 4·|count()|"
    result = module.main(q=QUESTION)
    rows = result.trace["reply"].calls
    result_tokens = 2  # "42", "43"
    actual = [row.actual.prefilled for row in rows[1:] if row.actual]
    assert actual[0] == 1
    assert actual[1] <= count.returned.tokens + result_tokens


@pytest.mark.parametrize(("resource", "most"), [("invokes", 4), ("calls", 10)])
def test_budgets(tmp_path: Path, resource: str, most: int) -> None:
    def path(limit: int) -> Path:
        path = made(tmp_path, arguments=[]).compilation.path
        path.write_text(path.read_text().replace("list[str] {", f"list[str] budget {{ {resource} <= {limit} }} {{"))
        return path

    with pytest.raises(BudgetTooSmall, match=f"may spend {most} {resource}"):
        plan_of(path(most - 1), q=QUESTION)
    plan_of(path(most), q=QUESTION)


WRONG: list[tuple[str, str]] = [
    ('tool say(q: str) -> str = python "kb:say"', "the chat template of mini has no form for calls of tools"),
    ('tool say(q: str) -> str = python "kb:say" with (invoke: "<|end|>")', "ends an answer"),
    ('tool say(q: str) -> str = python "kb:say" with (invoke: "<|safety|>")', "are both invoked by"),
]


@pytest.mark.parametrize(("declared", "message"), WRONG)
def test_what_cannot_be_invoked(tmp_path: Path, declared: str, message: str) -> None:
    body = "let r = generate() on user(q) may invoke [say, safety]\n  return r.text"
    path = written(tmp_path, body, head=f"{HEAD}{declared}")
    with pytest.raises(BadInput, match=f"line .*{message}") as told:
        plan_of(path)
    assert told.value.help


def test_an_invocation_in_ordinary_text(tmp_path: Path) -> None:
    (tmp_path / "kb.py").write_text("def count(n): return n + 1")
    head = HEAD + 'tool count(n: int[0..99]) -> int = python "kb:count" with (invoke: "(count)")'
    body = 'let r = generate(max_tokens: 12) on user(q) may invoke [count]\n  return "{r.text} {len(r.invocations)}"'
    path = written(tmp_path, body, head=head)
    [warning] = advise(Compilation(path).schedule(Compilation(path).flow("main"), {}))
    assert warning.code == "W0906"
    for parts in (("So", "(count)"), ("So", "(", "co", "unt", ")")):
        result: Result = forced(path, *parts, ".", 1, arguments=['{"n": 7}']).main(q="(count)")
        assert result.value.startswith("So.")
        assert result.value.endswith(" 1")
        assert result.trace.kept_promise


ASKS = (  # a template that has a form for calls of tools
    "{% for m in messages %}{% if m.tool_calls %}{{ '<|assistant|>' }}{% for c in m.tool_calls %}"
    '{{ \'\n<call>{"name": "\' + c.function.name + \'", "arguments": \' }}{{ c.function.arguments | tojson }}'
    "{{ '}</call>' }}{% endfor %}{{ '<|end|>' }}"
    "{% else %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.mark.parametrize("before", ["", "So. "])
def test_a_template_says_how_a_tool_is_called(tmp_path: Path, before: str) -> None:
    """Two tools whose calls begin alike; what the model writes is what the template writes for a call."""
    (tmp_path / "kb.py").write_text("def count(n): return n + 1\ndef counts(n): return n - 1")
    copytree(BUNDLED["mini"], tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(ASKS)
    head = """
model base = "./model"
tool count(n: int[0..99]) -> int = python "kb:count"
tool counts(n: int[0..99]) -> int = python "kb:counts"
"""
    body = """
  let reply = generate(max_tokens: 140) on user(q) may invoke [count, counts]
  let again = generate(max_tokens: 1) on (reply + user("Why?"))
  let said = for one in reply.invocations limit 4 { keep "{one.name} {one.value}" }
  return said + [reply.text]
"""
    path = written(tmp_path, body, "list[str]", head)
    assert advise(Compilation(path).schedule(Compilation(path).flow("main"), {})) == ()
    calls = [f'\n<call>{{"name": "{name}", "arguments": ' for name in ("counts", "count")]
    module = forced(path, before, calls[0], "ok", calls[1], "!", 1, arguments=['{"n": 7}', '{"n": 8}'])
    result = module.main(q=QUESTION)
    assert result.value[:2] == ["counts 6", "count 9"]
    assert result.value[2].startswith(f"{before}\nok\n!")
    assert result.trace.kept_promise
    [thread] = [call.request for call in engine_of(module).sent if call.node == "again"]
    spelt = module.compilation.setup.prompter.tokenizer.spell(tuple(thread.runs[0].tokens))
    call = f'<|assistant|>{before}{calls[0]}{{"n": 7}}}}</call><|end|><|tool_result|>6<|end|>'
    assert call in spelt


MARKED = {  # forms of control tokens and text: as Mistral's two, and as DeepSeek's
    "listed": '[MARK] [{{"name": "{name}", "arguments": ',
    "named": "[MARK]{name}[ARGS]",
    "closed": "[MARK]{name}[ARGS]",
}
WRITES = {
    "listed": "{{ '[MARK] [' }}{% for c in m.tool_calls %}{% set out = c.function | tojson %}{{ out[:-1] }}"
    "{% if c.id | length != 9 %}{{ raise_exception('ids have nine letters') }}{% endif %}"
    "{{ ', \"id\": \"' + c.id + '\"}' }}{% endfor %}{{ ']' }}",
    "named": "{% for c in m.tool_calls %}{{ '[MARK]' + c.function.name + '[ARGS]' + c.function.arguments | tojson }}"
    "{% endfor %}",
    "closed": "{% for c in m.tool_calls %}{{ '[MARK]' + c.function.name + '[ARGS]' + c.function.arguments }}"
    "{% endfor %}{{ '[MARK]' }}",
}


@pytest.mark.parametrize("form", MARKED)
@pytest.mark.parametrize("before", ["", "So."])
def test_forms_of_control_tokens_and_text(tmp_path: Path, form: str, before: str) -> None:
    def marked(text: str) -> str:
        return text.replace("[MARK]", "<|reserved_3|>").replace("[ARGS]", "<|reserved_4|>")

    (tmp_path / "kb.py").write_text("def count(n): return n + 1\ndef counts(n): return n - 1")
    copytree(BUNDLED["mini"], tmp_path / "model")
    source = ASKS.partition("{% if m.tool_calls %}")[0] + "{% if m.tool_calls %}{{ '<|assistant|>' }}" + WRITES[form]
    source += "{{ '<|end|>' }}{% else %}" + ASKS.partition("{% else %}")[2]
    (tmp_path / "model" / "chat_template.jinja").write_text(marked(source))
    head = """
model base = "./model"
tool count(n: int[0..99]) -> int = python "kb:count"
tool counts(n: int[0..99]) -> int = python "kb:counts"
"""
    body = """
  let reply = generate(max_tokens: 140) on user(q) may invoke [count, counts]
  let again = generate(max_tokens: 1) on (reply + user("Why?"))
  let said = for one in reply.invocations limit 4 { keep "{one.name} {one.value}" }
  return said + [reply.text]
"""
    path = written(tmp_path, body, "list[str]", head)
    assert advise(Compilation(path).schedule(Compilation(path).flow("main"), {})) == ()
    calls = [marked(MARKED[form]).format(name=name) for name in ("counts", "count")]
    otherwise = calls[1].partition("ount")  # in tokens that the tokenizer would not take
    module = forced(path, before, calls[0], "ok", *otherwise, "!", 1, arguments=['{"n": 7}', '{"n": 8}'])
    result = module.main(q='<|reserved_3|> [{"name": "count", "arguments": ')
    assert result.value[:2] == ["counts 6", "count 9"]
    assert result.value[2].startswith(f"{before}ok!")
    assert result.trace.kept_promise
    [thread] = [call.request for call in engine_of(module).sent if call.node == "again"]
    spelt = module.compilation.setup.prompter.tokenizer.spell(tuple(thread.runs[0].tokens))
    # What transformers' rendering of the same template says of such a call.
    template = (tmp_path / "model" / "chat_template.jinja").read_text()
    arguments = '{"n": 7}' if form == "closed" else {"n": 7}
    call = {"id": "calltool1", "type": "function", "function": {"name": "counts", "arguments": arguments}}
    [[asked], _] = render_jinja_template(
        [[{"role": "assistant", "content": "", "tool_calls": [call]}]], chat_template=template
    )
    own = asked.removeprefix("<|assistant|>")
    assert f"<|assistant|>{before}{own}<|tool_result|>6<|end|>" in spelt


PUBLIC = {  # templates, the mini model's control tokens under their names, and what the model writes for calls
    "gpt-oss": (
        HARMONY,
        "<|return|><|start|><|channel|><|message|><|stop|><|call|><|constrain|>",
        "<|end|><|reserved_0|><|reserved_1|><|reserved_2|><|reserved_3|><|reserved_4|><|reserved_5|>",
        ("<|channel|>analysis<|message|>{}<|stop|><|start|>assistant", "thinking"),
        (" to=functions.{}<|channel|>commentary json<|message|>",),
    ),
    "gpt-oss as trained": (
        HARMONY,
        "<|return|><|start|><|channel|><|message|><|stop|><|call|><|constrain|>",
        "<|end|><|reserved_0|><|reserved_1|><|reserved_2|><|reserved_3|><|reserved_4|><|reserved_5|>",
        ("<|channel|>analysis<|message|>{}<|stop|><|start|>assistant", "thinking"),
        ("<|channel|>commentary to=functions.{} <|constrain|>json<|message|>",),
    ),
    "Kimi K2": (
        KIMI,
        "<|stop|><|im_user|><|im_assistant|><|im_system|><|middle|><|calls|><|call|><|args|><|call_end|><|calls_end|>",
        "<|end|><|user|><|assistant|><|system|><|reserved_0|><|reserved_1|><|reserved_2|><|reserved_3|><|reserved_4|>"
        "<|reserved_5|>",
        ("{}", "content"),
        ("<|calls|><|call|>functions.{}:0<|args|>", "<|calls|><|call|>functions.{}:1<|args|>"),
    ),
    "Command R": (
        COMMAND_R,
        "<|stop|><|bot|><|sys|><|think|><|think_end|><|action|><|action_end|><|reply|><|reply_end|><|result|><|result_end|>",
        "<|end|><|assistant|><|documents|><|reserved_0|><|reserved_1|><|reserved_2|><|reserved_3|><|reserved_4|>"
        "<|reserved_5|><|tool_result|><|reserved_6|>",
        ("<|think|>{}<|think_end|>", "reasoning_content"),
        tuple(f'<|action|>[\n    {{{{"tool_call_id": "{n}", "tool_name": "{{}}", "parameters": ' for n in range(2)),
    ),
}


@pytest.mark.parametrize("public", PUBLIC)
@pytest.mark.parametrize("thoughts", ["", "I look."])
def test_calls_as_public_templates_write_them(tmp_path: Path, public: str, thoughts: str) -> None:
    """A flow in which the model calls twice: the thread behind it is, to the letter, what transformers renders of the
    same messages with the same template."""
    source, names, own, (thinking, field), forms = PUBLIC[public]
    (tmp_path / "kb.py").write_text("def count(n): return n + 1\ndef counts(n): return n - 1")
    model = copytree(BUNDLED["mini"], tmp_path / "model")
    for name, here in zip(split(names), split(own), strict=True):
        for file in model.glob("*.json"):
            file.write_text(file.read_text().replace(here, name))
    (model / "chat_template.jinja").write_text(source)
    head = """
model base = "./model"
tool count(n: int[0..99]) -> int = python "kb:count"
tool counts(n: int[0..99]) -> int = python "kb:counts"
"""
    body = """
  let reply = generate(max_tokens: 140) on user(q) may invoke [count, counts] budget 3
  let again = generate(max_tokens: 1) on (reply + user("Why?"))
  return for one in reply.invocations limit 4 { keep "{one.name} {one.value}" }
"""
    path = written(tmp_path, body, "list[str]", head)
    calls = [forms[0].format("counts"), forms[-1].format("count")]
    otherwise = calls[1].partition("ount")
    before = thinking.format(thoughts) if thoughts else ""
    module = forced(path, before, calls[0], *otherwise, "!", 1, arguments=['{"n": 7}', '{"n": 8}'])
    result = module.main(q=calls[0])
    assert result.value == ["counts 6", "count 9"]
    assert result.trace.kept_promise
    [thread] = [call.request for call in engine_of(module).sent if call.node == "again"]
    spelt = module.compilation.setup.prompter.tokenizer.spell(tuple(thread.runs[0].tokens))
    ids = ["functions.counts:0", "functions.count:1"] if public == "Kimi K2" else ["calltool1", "calltool2"]
    messages: list[dict[str, Any]] = [{"role": "user", "content": calls[0]}]
    for id, name, given, got in zip(ids, ("counts", "count"), (7, 8), ("6", "9"), strict=True):
        call = {"id": id, "type": "function", "function": {"name": name, "arguments": {"n": given}}}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": id, "name": name, "content": got})
    messages[1] |= {field: thoughts} if thoughts else {}
    written_last = spelt.rpartition("!")[2].partition("<|")[0]
    messages += [{"role": "assistant", "content": f"!{written_last}"}, {"role": "user", "content": "Why?"}]
    [[expected], _] = render_jinja_template([messages], chat_template=source, add_generation_prompt=True)
    assert spelt == expected


@pytest.mark.parametrize("kind", ["byte level", "prepending", "metaspace always", "metaspace first"])
@pytest.mark.parametrize("before", ["", "Ada"])
def test_tokenizers_as_mistrals(tmp_path: Path, kind: str, before: str) -> None:
    """`[TOOL_CALLS]` is a control token: the model's call is found, and its result comes back as the template's own."""
    (tmp_path / "kb.py").write_text("def count(n): return n + 1")
    model = copytree(BUNDLED["mini"], tmp_path / "model")
    tokenizer = MAKERS[kind]()
    marks = ["<s>", "</s>", *re.findall(r"\[/?[A-Z_]+\]", MISTRAL)]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in dict.fromkeys(marks)])
    tokenizer.save(str(model / "tokenizer.json"))
    for file in (model / "config.json", model / "generation_config.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token_id": tokenizer.token_to_id("</s>")}))
    (model / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    (model / "chat_template.jinja").write_text(MISTRAL)
    head = 'model base = "./model"\ntool count(n: int[0..99]) -> int = python "kb:count"'
    body = """
  let reply = generate(max_tokens: 140) on user(q) may invoke [count]
  let again = generate(max_tokens: 1) on (reply + user("Why?"))
  return "{reply.invocations[0].value} {reply.invocations[0].at}"
"""
    call = '[TOOL_CALLS] [{"name": "count", "arguments": '
    module = forced(written(tmp_path, body, head=head), before, call, "the hall", arguments=['{"n": 7}'])
    result = module.main(q=f'{call}{{"n": 1}}')
    assert result.value.split() == ["8", str(len(before))]
    assert result.trace.kept_promise
    sent = engine_of(module).sent
    used = module.compilation.setup.prompter.tokenizer
    runs = [[token for run in one.request.runs for token in run.tokens] for one in sent]
    assert [tokens.count(used.control_token("[TOOL_CALLS]")) for tokens in runs][:2] == [0, 1]
    spelt = [used.spell(tuple(tokens)).replace(" ", "") for tokens in runs]
    if not before:  # beside what is said, the template has no place for a call
        assert spelt[2].endswith(
            '"id":"calltool1"}]</s>[TOOL_RESULTS]{"content":8,"call_id":"calltool1"}[/TOOL_RESULTS]'
        )


def split(names: str) -> list[str]:
    """Control tokens that stand side by side."""
    return re.findall(r"<\|\w+\|>", names)


def test_forms_that_hold_no_arguments_are_refused_by_name(tmp_path: Path) -> None:
    copytree(BUNDLED["mini"], tmp_path / "model")
    each = "{% for k, v in c.function.arguments|items %}<p={{ k }}>{{ v }}{% endfor %}"
    source = ASKS.replace("{{ c.function.arguments | tojson }}", each)
    (tmp_path / "model" / "chat_template.jinja").write_text(source)
    head = 'model base = "./model"\ntool say(q: str) -> str = python "kb:say"'
    path = written(tmp_path, "let r = generate() on user(q) may invoke [say]\n  return r.text", head=head)
    with pytest.raises(BadInput, match="model writes no call with all arguments as one JSON object") as told:
        plan_of(path)
    assert told.value.help


def test_an_invocation_that_the_model_cannot_write(tmp_path: Path) -> None:
    copytree(BUNDLED["mini"], tmp_path / "model")
    words = {"unk": 0, **{f"w{index}": index for index in range(1, 1344)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="unk"))
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    head = 'model base = "./model"\ntool say(q: str) -> str = python "kb:say" with (invoke: "<say>")'
    path = written(tmp_path, "let r = generate() on user(q) may invoke [say]\n  return r.text", head=head)
    with pytest.raises(BadInput, match="cannot invoke 'say': '<say>' is not in the vocabulary of"):
        plan_of(path)


def test_a_missing_module_is_told_before_the_run(tmp_path: Path) -> None:
    module = made(tmp_path, COUNT, arguments=[])
    (tmp_path / "kb.py").unlink()
    with pytest.raises(BadInput, match="tool 'look': no module 'kb'") as told:
        module.main(q=QUESTION)
    assert told.value.help
