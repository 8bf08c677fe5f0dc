"""Makes the file of `agentmem.retrieval.languages`: the mean embedding of each language.

``data/languages.tsv`` has the same eight sentences in every language, behind its code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from agentmem.models.bundle.load import load_bundle
from benchmarks.command import run

SENTENCES = Path(__file__).parent / "data" / "languages.tsv"


def main(
    out: Annotated[Path, typer.Option(help="where the file goes")],
) -> None:
    """Embed the sentences of each language, and write the means."""
    np.save(out, means())


def means() -> NDArray[np.float16]:
    """The mean embedding of each language, (L, K)."""
    model = load_bundle()
    rows = [line.split("\t") for line in SENTENCES.read_text("utf-8").splitlines()]
    found = [
        # One by one, so that no embedding depends on what it was made beside.
        np.mean(
            [model.embedder.embed_documents([model.tokenizer.encode(one)])[0] for one in said], 0
        )
        for _, *said in rows
    ]
    return np.array(found, dtype=np.float16)


if __name__ == "__main__":
    run(main)
