"""ONNX graphs on the CPU, through ONNX Runtime; the options of its sessions are all here.

A graph computes with one thread and without spinning: threads that wait for each other by spinning
make every call many times slower on a busy machine, or in a container with a share of its cores.
A session starts no thread of its own, so a forked child may go on using it.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem_storage.interruptions import is_interruption

if TYPE_CHECKING:
    from onnxruntime import SessionOptions

_log = logging.getLogger(__name__)

# Of ONNX Runtime's severities: a library does not print what is less severe.
_ERROR = 3
# Bytes of all sessions together. An encoder of one text at a time needs far less; a graph that was
# made to ask for more than the machine has is refused when it runs.
_MOST_MEMORY = 2**32


class OnnxSession:
    """A graph, ready to run; usable from several threads.

    Attributes:
        inputs: Names of its inputs.
        outputs: Names of its outputs.
    """

    def __init__(self, file: str | Path) -> None:
        """Load a graph.

        Args:
            file: The ``.onnx`` file. Weights that it does not contain lie in the same folder.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelError: it is damaged, or needs more than ONNX Runtime offers.
        """
        file = Path(file)
        if not file.is_file():
            raise ModelNotFoundError(f"no ONNX graph at {str(file)!r}")
        import onnxruntime  # takes time, and is needed for the first text only

        try:
            self._session = onnxruntime.InferenceSession(
                file, _options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own errors have no common base but this
            if is_interruption(error):
                raise
            raise ModelError(f"ONNX Runtime cannot load {str(file)!r}: {error}") from error
        self.inputs = tuple(one.name for one in self._session.get_inputs())
        self.outputs = tuple(one.name for one in self._session.get_outputs())

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs in their order, from an array for each input."""
        made: list[NDArray[Any]] = self._session.run(None, inputs)
        return made


def _options() -> SessionOptions:
    """The options of every session."""
    from onnxruntime import SessionOptions

    _limit_memory()
    options = SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    options.use_deterministic_compute = True
    options.log_severity_level = _ERROR
    return options


@cache
def _limit_memory() -> None:
    """Have all sessions of this process share one arena, which is limited."""
    import onnxruntime as ort

    kind, place = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, ort.OrtMemType.DEFAULT
    arena = ort.OrtArenaCfg({"max_mem": _MOST_MEMORY})
    try:
        ort.create_and_register_allocator(ort.OrtMemoryInfo("Cpu", kind, 0, place), arena)
    except Exception as error:  # its own errors have no common base but this
        if is_interruption(error):
            raise
        # The program that uses this has registered one of its own, with a limit of its own.
        _log.warning("the memory of ONNX graphs is not limited by agentmem: %s", error)
