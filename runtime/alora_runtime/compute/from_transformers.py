"""A model made by transformers' own classes. To import this file takes about two seconds."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from transformers.utils import logging

from alora_runtime.compute.reference import NAME, register
from alora_runtime.compute.support import CLASSES, MODULES, ModelFolder, current
from alora_runtime.compute.weights import check_layers, read_checked, stored_tensors
from alora_runtime.errors import ModelError
from alora_runtime.json_file import read_object

UNUSED = ("dtype", "torch_dtype", "pad_token_id", "quantization_config")
"""Fields of config.json that mean nothing here."""


def transformers_model(source: ModelFolder, dtype: torch.dtype) -> Any:
    """The model with the stored weights. transformers chooses no file: it would take a pickle, too.

    Raises ModelError with the reason when that cannot be.
    """
    register()
    name = MODULES.get(source.model_type, source.model_type)
    module = import_module(f"transformers.models.{name}.modeling_{name}")
    cls, path = getattr(module, CLASSES[source.model_type]), source.folder / "config.json"
    bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        config = cls.config_class.from_dict({**current(read_object(path, ModelError)), **dict.fromkeys(UNUSED)})
        tensors = stored_tensors(source.folder)
        check_layers(path, config.num_hidden_layers, tensors)
        with torch.device("meta"):
            outline = cls(config)
        values = read_checked(path, config.tie_word_embeddings, tensors, outline)
        return cls.from_pretrained(None, config=config, state_dict=values, dtype=dtype, attn_implementation=NAME)
    except ModelError:
        raise
    except Exception as error:  # transformers raises many kinds for a broken configuration, which mean the same to us
        raise ModelError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
