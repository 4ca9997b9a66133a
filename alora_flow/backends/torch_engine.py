"""The project's own engine under a flow."""

from __future__ import annotations

import alora_runtime
from alora_flow.backends.base import Backend
from alora_flow.errors import BadAdapter, BadModel
from alora_flow.planning.prompts import Setup
from alora_runtime.errors import AdapterError, ModelError

CACHE_TOKENS = 16_384
"""Tokens that the KV arena holds unless the caller says otherwise."""


def open_engine(setup: Setup, cache_tokens: int = CACHE_TOKENS) -> Backend:
    """Load the model and every adapter of the setup. Raises BadModel and BadAdapter. torch is imported here."""
    adapters = {contract.name: contract.adapter.folder for contract in setup.contracts.values()}
    try:
        return alora_runtime.Engine.load(setup.model.folder, adapters=adapters, cache_tokens=cache_tokens)
    except ModelError as error:
        raise BadModel(str(error)) from error
    except AdapterError as error:
        raise BadAdapter(str(error)) from error
