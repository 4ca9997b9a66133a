"""Reading io.yaml: what each field means, and every mistake by its place."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from llguidance import LLMatcher, LLTokenizer

from alora_flow.errors import BadAdapter
from alora_flow.intrinsics.io_yaml import IoYaml, Placeholder, read_io_yaml
from alora_flow.intrinsics.shapes import shown
from alora_flow.planning.answer_form import published_grammar
from tests.intrinsics.library import INVENTORY

HEAD = "model: ~\nresponse_format: {type: object, required: [s], properties: {s: {type: string, enum: [a, b]}}}\n"
BARE = "model: ~\nresponse_format: ~\ntransformations: ~\n"
RULES = HEAD + "transformations:\n- "
LIKELIHOOD = RULES + "{type: likelihood, input_path: [s], categories_to_values: "


def read(folder: Path, text: str | bytes) -> IoYaml:
    data = text.encode() if isinstance(text, str) else text
    (folder / "io.yaml").write_bytes(data)
    return read_io_yaml(folder)


def deep(levels: int) -> str:
    """A schema of lists of lists."""
    return '{"type": "array", "items": ' * levels + "{}" + "}" * levels


@pytest.mark.parametrize(
    ("text", "said", "help"),
    [
        ("model: ~\nresponse_format: ~\n", ":1:1: the key 'transformations' is missing", "transformations: ~"),
        (BARE + "extra: 1\n", ":4:1: unknown key 'extra'", "known are model"),
        (BARE + "instructions: a\n", ":4:1: unknown key 'instructions'", "did you mean 'instruction'"),
        (BARE + "model: x\n", ":4:1: 'model' stands here a second time", None),
        ("[1", ":1:3: this is no YAML", None),
        ("a: b: c", ":1:5: this is no YAML: mapping values are not allowed", None),
        ("3", ":1:1: this must be a mapping, not a number '3'", None),
        ("", "io.yaml is empty", None),
        (b"\xff\xfe\x00", "is not UTF-8 at byte 0", None),
        (b"model: \xff", "is not UTF-8 at byte 7", None),
        ("a: &x [*x, *x]", "holds more than 100000 values", None),
        ("[" * 3000, "is nested too deeply|is no YAML", None),
        (BARE + "name: 3\n", ":4:7: 'name' must be a text, not a number '3'", 'quote it: "3"'),
        (BARE + "logprobs_workaround: maybe\n", ":4:22: 'logprobs_workaround' must be true or false", None),
        # booleans where strings are meant
        (LIKELIHOOD + "{yes: 1.0, no: 0.0}}", ":4:62: yes without quotes", 'write "yes"'),
        (
            HEAD.replace("[a, b]", "[yes, no]") + "transformations: ~",
            ":2:86: yes without quotes is true or false",
            'write "yes"',
        ),
        (
            HEAD.replace("[a, b]", "[true, false]") + "transformations: ~",
            ":2:18: 'response_format': 'enum' of strings holds True",
            None,
        ),
        (BARE + "name: off\n", ":4:7: off without quotes", 'write "off"'),
        # response_format
        ("model: ~\nresponse_format: '{'\ntransformations: ~", ":2:18: 'response_format' is no JSON", None),
        (
            "model: ~\nresponse_format: '[1]'\ntransformations: ~",
            ":2:18: 'response_format' must be a JSON Schema",
            None,
        ),
        ("model: ~\nresponse_format: '{}'\ntransformations: ~", ":2:18: 'response_format' must be a JSON Schema", None),
        (
            "model: ~\nresponse_format: [1]\ntransformations: ~",
            ":2:18: 'response_format' must be a mapping, not a list",
            None,
        ),
        ("model: ~\nresponse_format: {type: strin}\ntransformations: ~", "there is no type 'strin'", None),
        ("model: ~\nresponse_format: {$ref: '#/x'}\ntransformations: ~", "the reference '#/x' leads nowhere", None),
        (
            "model: ~\nresponse_format: {type: object, properties: {}, required: [a]}\ntransformations: ~",
            "'a' is required",
            None,
        ),
        (
            "model: ~\nresponse_format: {type: integer, minimum: .inf}\ntransformations: ~",
            "'minimum' must be a number within",
            None,
        ),
        (
            "model: ~\nresponse_format: {type: integer, maximum: 0.5}\ntransformations: ~",
            "'maximum' of an integer must be a whole number, not 0.5",
            None,
        ),
        (
            "model: ~\nresponse_format: {type: integer, exclusiveMinimum: true}\ntransformations: ~",
            "'exclusiveMinimum' must be a number within",
            None,
        ),
        (
            "model: ~\nresponse_format: {type: object, properties: ~}\ntransformations: ~",
            "'properties' must be an object",
            None,
        ),
        (
            f"model: ~\nresponse_format: '{'[' * 100000}'\ntransformations: ~",
            "'response_format' is no JSON",
            None,
        ),
        (
            f"model: ~\nresponse_format: '{deep(490)}'\ntransformations: ~",
            "'response_format' is nested too deeply",
            None,
        ),
        # transformations
        (HEAD + "transformations: {type: nest}", ":3:18: 'transformations' must be a list, not a mapping", None),
        (RULES + "{input_path: []}", ":4:3: a transformation needs 'type'", None),
        (
            RULES + "{type: likelyhood, input_path: []}",
            ":4:10: there is no transformation 'likelyhood'",
            "did you mean 'likelihood'",
        ),
        (RULES + "{type: nest, field_name: x}", ":4:3: a transformation needs 'input_path'", None),
        (RULES + "{type: nest, input_path: []}", ":4:3: a transformation needs 'field_name'", None),
        (
            RULES + "{type: nest, input_path: [], field_name: x, output_name: y}",
            ":4:47: unknown key 'output_name'",
            None,
        ),
        (RULES + "{type: nest, input_path: s, field_name: x}", ":4:28: 'input_path' must be a list", None),
        (RULES + "{type: nest, input_path: [1.5], field_name: x}", ":4:29: 'input_path' must be a field's name", None),
        (
            RULES + "{type: nest, input_path: [t], field_name: x}",
            ":4:3: nest: input_path leads nowhere: there is no 't' in {s:",
            None,
        ),
        (
            RULES + "{type: likelihood, input_path: [], categories_to_values: {a: 1}}",
            "likelihood: it takes a text",
            None,
        ),
        (LIKELIHOOD + "{c: 1}}", "none of c is ever written there", None),
        (LIKELIHOOD + "{}}", "must name what may be written", None),
        (LIKELIHOOD + "{a: high}}", ":4:65: 'a' must be a number, not a text 'high'", None),
        (LIKELIHOOD + f"{{a: 1{'0' * 400}}}}}", "'a' must be a number", None),
        (LIKELIHOOD + "{a: .nan}}", "'a' must be a number", None),
        (RULES + "{type: explode, input_path: [], target_field: s}", "explode: it takes a list of records", None),
        (RULES + "{type: project, input_path: [], retained_fields: [t]}", "project: there is no 't' in", None),
        (
            RULES + "{type: project, input_path: [], retained_fields: 3}",
            "'retained_fields' must be a mapping, not a number",
            None,
        ),
        (RULES + "{type: drop_duplicates, input_path: [], target_fields: [s]}", "takes a list of records", None),
        (
            RULES + "{type: merge_spans, input_path: [], group_fields: [s], begin_field: b, end_field: e}",
            "takes a list",
            None,
        ),
        (
            RULES + "{type: decode_sentences, input_path: [], source: documents, output_names: {}}",
            "must end in the field",
            None,
        ),
        (
            RULES + "{type: decode_sentences, input_path: [s], source: last_turn, output_names: {}}",
            "'source' must be one of last_message",
            None,
        ),
        (
            RULES + "{type: decode_sentences, input_path: [s], source: documents, output_names: {}}",
            "the sentences of 'documents' have no numbers",
            "sentence_boundaries",
        ),
        # the rest
        (BARE + "parameters: {top_q: 1}\n", ":4:21: parameter 'top_q' is not supported", "did you mean 'top_p'"),
        (BARE + "parameters: {temperature: -1}\n", "'temperature' must be float", None),
        (BARE + "parameters: {max_completion_tokens: 1.5}\n", "'max_completion_tokens' must be int", None),
        (BARE + "parameters: {temperature: hot}\n", "'temperature' must be a number, not a text 'hot'", None),
        (BARE + "parameters: {n: 2}\n", "parameter 'n' is not supported with a number '2'", None),
        (BARE + "parameters: {extra_body: {guided_json: x}}\n", ":4:40: 'guided_json' is no JSON", None),
        (
            HEAD + "transformations: ~\nparameters: {response_format: {type: string}}\n",
            ":4:31: the answer has a schema already",
            "io.yaml:2:18",
        ),
        (RULES + "{type: nest, input_path: [], field_name: x, output_name: ~, y: ~}", "unknown key 'y'", None),
        (BARE + "instruction: 'a {b.c}'\n", ":4:14: 'instruction': only a plain name", "written twice"),
        (BARE + "instruction: 'a {0}'\n", "only a plain name", None),
        (BARE + "instruction: 'a {'\n", ":4:14: 'instruction': ", "written twice"),
        (BARE + "instruction: [a]\n", "'instruction' must be a text, not a list", None),
        (BARE + "sentence_boundaries: {documents: '<c'}\n", ":4:34: 'documents' must be letters", None),
        (BARE + "sentence_boundaries: {docs: c}\n", ":4:23: unknown key 'docs'", None),
        (BARE + "sentence_boundaries: true\n", "'sentence_boundaries' must be a mapping", None),
        (BARE + "docs_as_message: text\n", ":4:18: 'docs_as_message' must be one of string, json, roles", None),
    ],
)
def test_a_mistake_is_named_with_file_line_and_column(
    tmp_path: Path, text: str | bytes, said: str, help: str | None
) -> None:
    with pytest.raises(BadAdapter) as caught:
        read(tmp_path, text)
    message = caught.value.message
    assert message.startswith(str(tmp_path / "io.yaml"))
    assert any(part in message for part in said.split("|")), message
    assert help is None or help in str(caught.value.help)


def test_a_folder_without_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadAdapter, match=r"has no io\.yaml"):
        read_io_yaml(tmp_path)


SHAPES = {
    "uncertainty": "{certainty: float[0.05..0.95]}",
    "answerability": "{answerability_likelihood: float[0.0..1.0]}",
    "requirement-check": "{requirement_check: {score: float[0.0..1.0]}}",
    "query_rewrite": "{rewritten_question: str}",
    "query_clarification": "{clarification: str}",
    "hallucination_detection": "list[{response_begin: int[0..], response_end: int[0..], response_text: str, "
    "faithfulness: float[0.0..1.0], explanation: str}]",
    "citations": "list[{response_begin: int[0..], response_end: int[0..], response_text: str, citation_doc_id: str, "
    "citation_begin: int[0..], citation_end: int[0..], citation_text: str}]",
}


@pytest.mark.parametrize("name", INVENTORY)
def test_the_shape_follows_the_transformations(tmp_path: Path, name: str) -> None:
    assert shown(read(tmp_path, INVENTORY[name]).shape) == SHAPES[name]


def test_an_instruction_is_texts_and_names(tmp_path: Path) -> None:
    found = read(tmp_path, INVENTORY["requirement-check"])
    assert found.instruction is not None
    assert found.instruction[:2] == ("<requirements>: ", Placeholder("requirement"))
    assert '{"score": "yes"}' in "".join(part for part in found.instruction if isinstance(part, str))
    assert found.arguments == ("requirement",)
    assert read(tmp_path, BARE + "instruction: '{a} {last_message} {a}'\n").arguments == ("a",)


@pytest.mark.parametrize(
    ("parameters", "settings"),
    [
        ("{max_completion_tokens: 15, temperature: 0.0}", {"max_tokens": 15, "temperature": 0.0}),
        ("{max_tokens: 9, top_p: 0.5, stop: x, seed: 3}", {"max_tokens": 9, "top_p": 0.5, "stop": ("x",), "seed": 3}),
        ("{extra_body: {top_k: 5, repetition_penalty: 1.1}, n: 1}", {"top_k": 5, "repetition_penalty": 1.1}),
        ("{stop: [a, b], logprobs: true, top_logprobs: 10}", {"stop": ("a", "b")}),
        ("~", {}),
    ],
)
def test_parameters_are_settings(tmp_path: Path, parameters: str, settings: dict[str, Any]) -> None:
    assert read(tmp_path, BARE + f"parameters: {parameters}\n").settings == settings


def test_a_schema_may_be_text_or_yaml(tmp_path: Path) -> None:
    text = read(tmp_path, 'model: ~\ntransformations: ~\nresponse_format: \'{"type": "integer"}\'\n')
    assert (
        text.schema
        == {"type": "integer"}
        == read(tmp_path, BARE.replace("format: ~", "format: {type: integer}")).schema
    )


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf constraints are not supported"),
        ({"type": "array", "uniqueItems": True}, 'Unimplemented keys: ["uniqueItems"]'),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "minimum (3) is greater than maximum (2)"),
        ({"type": "string", "pattern": "(?=a)b"}, "regex parse error: look-around"),
        ({"type": "number", "minimum": 0, "maximum": 1e-15}, "is too narrow"),
    ],
)
@pytest.mark.parametrize("indent", [None, 2], ids=["text", "block"])
def test_a_grammar_that_does_not_compile_is_named_by_its_line(
    tmp_path: Path, schema: dict[str, Any], said: str, indent: int | None
) -> None:
    written = yaml.safe_dump(json.dumps(schema) if indent is None else schema)
    file = f"model: ~\nresponse_format:\n{textwrap.indent(written, '  ')}transformations: ~\n"
    with pytest.raises(BadAdapter) as caught:
        published_grammar(read(tmp_path, file))
    assert caught.value.message.startswith(f"{tmp_path / 'io.yaml'}:3:3: the answer's schema: ")
    assert said in caught.value.message


JOINED = {
    "all of": {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
    "beside": {"properties": {"a": {"const": 1}}, "anyOf": [{"properties": {"b": {"const": 2}}, "required": ["b"]}]},
    "reference": {
        "$defs": {"b": {"type": "object", "properties": {"b": {"const": 2}}, "required": ["b"]}},
        "properties": {"a": {"const": 1}},
        "$ref": "#/$defs/b",
    },
}


@pytest.mark.parametrize("schema", JOINED.values(), ids=list(JOINED))
def test_an_object_of_several_schemas_has_the_properties_of_all(tmp_path: Path, schema: dict[str, Any]) -> None:
    """Closed one by one, each would forbid what the others name."""
    found = read(tmp_path, json.dumps({"model": None, "response_format": schema, "transformations": None}))
    assert found.shape is None
    grammar = published_grammar(found)
    assert grammar is not None
    matcher = LLMatcher(LLTokenizer("byte"), LLMatcher.grammar_from_json_schema(grammar.text))
    assert matcher.try_consume_tokens([*b'{"a":1,"b":2}']) == len('{"a":1,"b":2}')


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({"$defs": {"a/b": {"type": "string"}}, "$ref": "#/$defs/a~1b"}, "str"),
        ({"$defs": {"a b": {"type": "string"}}, "$ref": "#/$defs/a%20b"}, "str"),
        ({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"$ref": "#/items/anyOf/0"}]}}, "list[int]"),
        ({"type": "object", "properties": {"more": {"$ref": "#"}}}, "{more?: {more?: any JSON}}"),
    ],
)
def test_a_reference_is_a_json_pointer(tmp_path: Path, schema: dict[str, Any], shape: str) -> None:
    found = read(tmp_path, json.dumps({"model": None, "response_format": schema, "transformations": None}))
    assert shown(found.shape) == shape
    assert published_grammar(found) is not None


@pytest.mark.parametrize(
    "parameters",
    [
        "{response_format: {enum: [a, b], type: string}}",
        "{extra_body: {guided_json: {enum: [a, b], type: string}}}",
        """{guided_json: '{"enum": ["a", "b"], "type": "string"}'}""",
        "{response_format: {type: json_schema, json_schema: {name: x, schema: {enum: [a, b], type: string}}}}",
    ],
)
def test_a_schema_may_stand_among_the_parameters(tmp_path: Path, parameters: str) -> None:
    """As libraries have it for one server or another; some of their rules name an output, which is null."""
    rule = "- {type: likelihood, input_path: [], categories_to_values: {a: 1, b: 0}, output_name: ~}"
    text = f"model: ~\nresponse_format: ~\ntransformations:\n{rule}\nparameters: {parameters}\n"
    found = read(tmp_path, text)
    assert found.schema == {"enum": ["a", "b"], "type": "string"}
    assert shown(found.shape) == "float[0.0..1.0]"
    assert found.settings == {}


def test_an_object_has_only_the_properties_that_it_names(tmp_path: Path) -> None:
    schema = read(tmp_path, HEAD + "transformations: ~").schema
    assert schema is not None
    assert schema["additionalProperties"] is False
    open = read(
        tmp_path, HEAD.replace("type: object,", "type: object, additionalProperties: true,") + "transformations: ~"
    )
    assert open.schema is not None
    assert open.schema["additionalProperties"] is True
