"""`make demo`: a real conversation is stored as vectors, found, and decoded byte for byte."""

import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agentmem import Memory

PANEL = Path(__file__).parent / "data" / "panel.jsonl"
QUESTIONS = (
    "What does txtenna let people send?",
    "What is the delay of a geostationary satellite?",
    "How does somebody get paid for relaying a transaction?",
)


def main() -> None:
    """Run the four steps."""
    console = Console()
    messages = [json.loads(line) for line in PANEL.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder, Memory(folder) as mem:
        console.rule("1. Stored")
        receipt = mem.add(messages, user_id="demo", session_id="panel")
        characters = sum(len(message["content"].encode()) for message in messages)
        console.print(
            f"{len(messages)} turns of a panel discussion ({PANEL.name}) became "
            f"{len(receipt.ids)} chunks; no text was stored.\n"
            f"The latents alone regenerate {receipt.fidelity:.3%} of {receipt.tokens} tokens; "
            f"{receipt.patch_bytes} bytes of patches make them exact."
        )

        console.rule("2. Found")
        for question in QUESTIONS:
            table = Table("score", "who", "text", title=question, title_justify="left")
            for hit in mem.recall(question, user_id="demo", k=3):
                table.add_row(f"{hit.score:.2f}", hit.name, _short(hit.text, 150))
            console.print(table)

        console.rule("3. Regenerated from vectors")
        best = mem.recall(QUESTIONS[0], user_id="demo", k=1)[0]
        alone = mem.regenerated(best.id)
        vectors, dims = best.latents.shape
        console.print(f"{best.tokens} tokens are {vectors} vectors of {dims} int8, such as")
        console.print(f"  {' '.join(map(str, best.latents[0]))}")
        console.print(f"From them alone:\n  {_short(alone, 300)}")
        console.print(f"Equal to the original: [bold]{alone == best.text}[/bold]")
        back = [
            "".join(chunk.text for chunk in mem.list(source_id=source))
            for source in receipt.sources
        ]
        same = sum(b == m["content"] for b, m in zip(back, messages, strict=True))
        console.print(f"All turns, patches included: {same} of {len(messages)} byte for byte.")

        console.rule("4. Against raw tokens")
        stored = receipt.latent_bytes + receipt.patch_bytes
        table = Table("", "raw text", "memory vectors", "ratio")
        table.add_row(
            "decoder positions",
            str(receipt.tokens),
            str(receipt.positions),
            f"{receipt.tokens / receipt.positions:.1f} x fewer",
        )
        table.add_row("bytes", str(characters), str(stored), f"{characters / stored:.2f} x smaller")
        console.print(table)


def _short(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


if __name__ == "__main__":
    main()
