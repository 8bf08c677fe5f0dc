"""Questions about a document that is too long for a prompt, answered with the passages cited.

Set OPENAI_API_KEY, or OPENAI_BASE_URL for a local server that speaks the same protocol, and give a
file: ``python examples/long_document.py contract.md "When does it end?"``
"""

import os
import sys
from pathlib import Path

from agentmem import Document, Memory, connect

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
GUIDE = Path(__file__).parents[1] / "docs" / "adding.md"


def main(path: Path, question: str) -> None:
    """Store the document, find the passages, and ask the model about these alone."""
    with Memory(":memory:") as memory:  # a folder in place of ":memory:" keeps it
        receipt = memory.add(Document.from_file(path))
        print(f"{path.name}: {receipt.tokens} tokens in {len(receipt.ids)} chunks")
        hits = memory.recall(question, k=8, expand="neighbors")
        answer = connect(f"openai:{MODEL}", max_tokens=1200).answer(question, hits)
        print("question:", question)
        print("answer:", answer.text or "The document does not say.")
        for citation in answer.citations:
            start, end = memory.get(citation.id).span
            print(f"  from characters {start} to {end}")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]) if given else GUIDE, given[1] if len(given) > 1 else "What is a duplicate?")
