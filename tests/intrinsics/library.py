"""Published libraries as tests make them: a tiny random model with a chat template, adapters in PEFT's format, and
io.yaml files of the shapes of ibm-granite's granitelib."""

from __future__ import annotations

from pathlib import Path

from alora_flow.prompts.tokens import Tokenizer
from tests import tiny
from tests.runtime.checkpoints import make_adapter, make_checkpoint

INVENTORY: dict[str, str] = {
    "uncertainty": """
name: uncertainty
model: ~
response_format: |
  {"type": "object", "properties": {"score": {"type": "string",
   "enum": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]}}, "required": ["score"], "additionalProperties": false}
transformations:
  - type: likelihood
    categories_to_values:
      {"0": 0.05, "1": 0.15, "2": 0.25, "3": 0.35, "4": 0.45, "5": 0.55, "6": 0.65, "7": 0.75, "8": 0.85, "9": 0.95}
    input_path: [score]
  - {type: project, input_path: [], retained_fields: {score: certainty}}
instruction: <certainty>
parameters: {max_completion_tokens: 15, temperature: 0.0}
sentence_boundaries: ~
""",
    "answerability": """
model: ~
response_format: '{"type": "string", "enum": ["answerable", "unanswerable"]}'
transformations:
  - {type: likelihood, input_path: [], categories_to_values: {answerable: 1.0, unanswerable: 0.0}}
  - {type: nest, input_path: [], field_name: answerability_likelihood}
instruction: ~
parameters: {max_completion_tokens: 20}
sentence_boundaries: false
""",
    "requirement-check": """
name: requirement-check
model: ~
response_format: |
  {"type": "object", "properties": {"score": {"type": "string", "enum": ["yes", "no"]}}, "required": ["score"]}
transformations:
  - {type: likelihood, input_path: [score], categories_to_values: {"yes": 1.0, "no": 0.0}}
  - {type: nest, input_path: [], field_name: requirement_check}
instruction: |-
  <requirements>: {requirement}
  Does the last answer meet this? Say {{"score": "yes"}} or {{"score": "no"}}.
parameters: {max_completion_tokens: 20, temperature: 0.0}
""",
    "query_rewrite": """
model: ~
response_format: |
  {"type": "object", "properties": {"rewritten_question": {"type": "string", "maxLength": 12}},
   "required": ["rewritten_question"]}
transformations: ~
instruction: "Rewrite the last question, {last_message}, so that it stands alone."
parameters: {max_completion_tokens: 64}
""",
    "query_clarification": """
model: ~
response_format: |
  {"type": "object", "properties": {"clarification": {"type": "string", "maxLength": 9}}, "required": ["clarification"]}
transformations: ~
instruction: Ask back where the question is not clear, else say CLEAR.
parameters: {max_completion_tokens: 64}
docs_as_message: string
""",
    "hallucination_detection": """
model: ~
response_format: |
  {"$defs": {"Entry": {"type": "object", "required": ["r", "f", "e"], "properties": {
     "r": {"type": "integer", "minimum": 0, "maximum": 1},
     "f": {"type": "string", "enum": ["faithful", "partial", "unfaithful"]},
     "e": {"type": "string", "maxLength": 4}}}},
   "type": "array", "minItems": 1, "maxItems": 2, "items": {"$ref": "#/$defs/Entry"}}
transformations:
  - {type: likelihood, input_path: [~, f], categories_to_values: {faithful: 1.0, partial: 0.5, unfaithful: 0.0}}
  - type: decode_sentences
    source: last_message
    input_path: [~, r]
    output_names: {begin: response_begin, end: response_end, text: response_text}
  - type: project
    input_path: []
    retained_fields:
      {response_begin: response_begin, response_end: response_end, response_text: response_text, f: faithfulness,
       e: explanation}
instruction: Split the last answer into sentences and judge each.
parameters: {max_completion_tokens: 150}
sentence_boundaries: {last_message: i}
""",
    "citations": """
model: ~
response_format: |
  {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "object", "required": ["r", "c"], "properties": {
     "r": {"type": "integer", "minimum": 0, "maximum": 1},
     "c": {"type": "array", "minItems": 1, "maxItems": 3,
           "items": {"type": "integer", "minimum": 0, "maximum": 2}}}}}
transformations:
  - {type: explode, input_path: [], target_field: c}
  - {type: drop_duplicates, input_path: [], target_fields: [r, c]}
  - type: decode_sentences
    source: last_message
    input_path: [~, r]
    output_names: {begin: response_begin, end: response_end, text: response_text}
  - type: decode_sentences
    source: documents
    input_path: [~, c]
    output_names: {begin: citation_begin, end: citation_end, text: citation_text, document_id: citation_doc_id}
  - type: project
    input_path: []
    retained_fields: [response_begin, response_end, response_text,
                      citation_doc_id, citation_begin, citation_end, citation_text]
  - type: merge_spans
    input_path: []
    group_fields: [response_begin, response_end, response_text, citation_doc_id]
    begin_field: citation_begin
    end_field: citation_end
    text_field: citation_text
instruction: Name the sentences that each sentence of the last answer rests on.
parameters: {max_completion_tokens: 120}
sentence_boundaries: {last_message: r, documents: c}
""",
}
"""io.yaml by intrinsic."""

TRIGGERS = {"uncertainty": "<certainty>", "requirement-check": "<requirements>"}
"""Texts that activate an adapter; the others are activated by what opens the assistant's turn."""


def write_model(folder: Path, *control: str) -> Path:
    """A random model whose tokenizer has the control tokens of `tests.tiny`, and further ones."""
    make_checkpoint(folder, max_position_embeddings=2048)
    config = (folder / "config.json").read_text()
    tiny.write_model_folder(folder)
    (folder / "config.json").write_text(config)
    tokenizer = tiny.tokenizer()
    tokenizer.add_special_tokens(list(control))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def write_intrinsic(model: Path, name: str, io_yaml: str | None = None, activated: bool = True) -> Path:
    """One of the inventory in the library beside a model, in the published layout."""
    tokenizer = Tokenizer(model)
    sequence = list(tokenizer.encode_control(TRIGGERS.get(name, "<|assistant|>")))
    technology = "alora" if activated else "lora"
    folder = model.parent / "intrinsics" / name / model.name / technology
    settings: dict[str, object] = {"alora_invocation_tokens": sequence} if activated else {}
    make_adapter(folder, model, seed=len(name), **settings)
    (folder / "io.yaml").write_text(INVENTORY[name] if io_yaml is None else io_yaml, encoding="utf-8")
    return folder


def flow_file(model: Path, text: str) -> Path:
    """A flow file beside the model."""
    path = model.parent / f"test{len(list(model.parent.glob('*.flow')))}.flow"
    path.write_text(f'model base = "{model.name}"\n{text}', encoding="utf-8")
    return path
