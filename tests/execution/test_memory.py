"""What is left of a run that is over."""

import gc
from pathlib import Path

import alora_flow
from alora_flow.execution.run import FlowRun

FLOW = """
model base = "mini"
flow main(question: str) -> str {
  let reply = generate(max_tokens: 4) on user(question)
  return reply.text
}
"""


def test_a_run_that_is_over_is_gone_without_the_garbage_collector(tmp_path: Path) -> None:
    path = tmp_path / "main.flow"
    path.write_text(FLOW)
    with alora_flow.load(path, backend="echo") as module:
        module.flow("main")(question="Who?")
        gc.collect()
        gc.disable()
        try:
            before = runs()
            for number in range(3):
                module.flow("main")(question=f"Who is {number}?")
            assert runs() == before
        finally:
            gc.enable()


def runs() -> int:
    """How many there are; other tests may have left some."""
    return sum(type(found) is FlowRun for found in gc.get_objects())
