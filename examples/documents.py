"""Documents: store a Markdown file and find the passages that answer a question.

Run it on a file of your own: ``python examples/documents.py notes.md "what did we decide?"``
"""

import sys
from pathlib import Path

from agentmem import Document, Memory

path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "README.md"
question = sys.argv[2] if len(sys.argv) > 2 else "Is a memory vector encrypted?"

with Memory(":memory:") as mem:
    receipt = mem.add(Document.from_file(path), user_id="me", metadata={"shelf": "docs"})
    print(f"{path.name}: {len(receipt.ids)} chunks, {receipt.tokens} tokens")
    print(f"{receipt.positions} positions, {receipt.latent_bytes + receipt.patch_bytes} bytes")

    for hit in mem.recall(question, user_id="me", k=3, where={"shelf": "docs"}):
        start, end = hit.span
        print(f"\n{hit.score:.2f}  characters {start} to {end} of {hit.source.title}")
        print(hit.text.strip()[:300])

    # The chunks tile their source: joined, they are the file, byte for byte.
    joined = "".join(chunk.text for chunk in mem.list(source_id=receipt.sources[0]))
    assert joined.encode() == path.read_bytes()
