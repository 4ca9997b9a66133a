"""alora-flow: a declarative language for LLM flows with activated LoRA intrinsics."""
