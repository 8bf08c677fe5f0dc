"""The entry point of `agentmem` and of `python -m agentmem`: sets up the process, then imports."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys

# Objects; Python's own number is some hundreds.
_MADE_BETWEEN_COLLECTIONS = 200_000


def main() -> None:
    """Run the command line."""
    # Imports make a hundred thousand objects, which live as long as the process. Looking for
    # garbage among them takes a part of the time of a short command, so this comes first.
    gc.set_threshold(_MADE_BETWEEN_COLLECTIONS)
    atexit.register(gc.freeze)
    # NumPy's BLAS library starts a thread for each core when it is loaded, which wait for work by
    # spinning. Models and index compute with one thread, so a command would only pay for them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from agentmem_cli.app import app

    # Commands draw their own progress bars; those of libraries would interfere.
    os.environ.setdefault("TQDM_DISABLE", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Replace characters the terminal cannot show; JSON and exact texts are always UTF-8.
        sys.stdout.reconfigure(errors="replace")
    app(prog_name="agentmem")
