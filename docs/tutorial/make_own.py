"""A model folder of one's own, and an activated LoRA as PEFT saves it. Its weights are random: training is yours."""

import shutil
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM
from transformers.utils import logging

from alora_flow.intrinsics.library import BUNDLED

HOME = Path(__file__).parents[2] / "build" / "tutorial"

logging.disable_progress_bar()
shutil.rmtree(HOME, ignore_errors=True)
shutil.copytree(BUNDLED["mini"], HOME / "model")
invocation = Tokenizer.from_file(str(HOME / "model" / "tokenizer.json")).token_to_id("<|safety|>")
torch.manual_seed(0)
config = LoraConfig(
    r=4,
    target_modules=["q_proj", "k_proj", "v_proj"],
    alora_invocation_tokens=[invocation],
    init_lora_weights=False,
    task_type="CAUSAL_LM",
)
model = get_peft_model(LlamaForCausalLM.from_pretrained(HOME / "model"), config)
model.save_pretrained(HOME / "polite")
print("made build/tutorial/model and build/tutorial/polite")
