"""Generates text that learned codes commonly lose: ids, numbers, code, other scripts, noise.

All of it is made here from a seed, so no model can have seen it. Each kind is an endless text of
small pieces, cut into chunks as `agentmem.ingest.chunk` cuts any text. Only the random tokens are
drawn as ids: as text they would be cut into other tokens.
"""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from agentmem.evaluation.random_tokens import CHUNK_TOKENS, RANDOM_TOKENS, Sample, random_chunks
from agentmem.ingest.chunk import chunk_stream
from agentmem.models.base import Tokenizer
from benchmarks.robustness import sentences

_WORDS = (
    "account archive batch border bridge budget cache camera carbon channel client cloud color "
    "counter course device draft engine error event filter folder garden header image index input "
    "invoice journal kernel label ledger market memory message metric module number object order "
    "output packet parser path payment planet queue record region report result river sample "
    "school script sensor server signal station status stream table target ticket token total "
    "track update user value vector version window worker"
).split()
_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_ENDINGS = ("com", "org", "net", "io", "dev", "co.uk", "fr")


def sample_chunks(
    kind: str,
    tokenizer: Tokenizer,
    *,
    count: int,
    seed: int,
    max_tokens: int = CHUNK_TOKENS,
) -> list[Sample]:
    """Make chunks of one kind.

    Args:
        kind: One of `KINDS`.
        tokenizer: Cuts the text; another one gives other chunks.
        count: How many chunks.
        seed: The same seed, the same chunks.
        max_tokens: Longest chunk; random tokens fill it, text is cut at a boundary before it.

    Raises:
        KeyError: there is no such kind.
    """
    if kind == RANDOM_TOKENS:
        return random_chunks(tokenizer, count=count, seed=seed, tokens=max_tokens)
    rng = random.Random(f"{kind}/{seed}")
    pieces = chunk_stream(_endless(_PIECES[kind], rng), tokenizer, max_tokens=max_tokens)
    return [Sample(piece.text, piece.ids) for piece in islice(pieces, count)]


def _endless(piece: Callable[[random.Random], str], rng: random.Random) -> Iterator[str]:
    while True:
        yield piece(rng)


def _hex_id(rng: random.Random) -> str:
    return rng.randbytes(rng.choice((4, 8, 16, 20, 32))).hex() + "\n"


def _base64_id(rng: random.Random) -> str:
    data = rng.randbytes(rng.choice((12, 16, 24, 33)))
    encode = rng.choice((base64.b64encode, base64.urlsafe_b64encode))
    return encode(data).decode("ascii") + "\n"


def _uuid(rng: random.Random) -> str:
    return f"{uuid.UUID(int=rng.getrandbits(128), version=4)}\n"


def _number(rng: random.Random) -> str:
    size = 10 ** rng.randint(1, 12)
    whole, broken = rng.randrange(size), rng.uniform(-size, size)
    forms = (f"{whole}", f"{whole:,}", f"{broken:.2f}", f"{broken:.4e}", f"{whole % 10000 / 100} %")
    return rng.choice(forms) + rng.choice((" ", ", ", "\n"))


def _date(rng: random.Random) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=rng.randrange(2**41))
    month = _MONTHS[at.month - 1]
    zone = f"{rng.choice('+-')}{rng.randrange(13):02}:{rng.choice(('00', '30'))}"
    forms = (
        f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z",
        f"{at:%Y-%m-%dT%H:%M:%S}{zone}",
        f"{at:%Y-%m-%d %H:%M}",
        f"{at.day} {month} {at.year}, {at:%H:%M}",
        f"{month[:3]} {at.day:2} {at:%H:%M:%S}",
        f"{at:%m/%d/%Y}",
        f"{at:%d.%m.%y}",
        f"{int(at.timestamp())}",
    )
    return rng.choice(forms) + "\n"


def _url(rng: random.Random) -> str:
    host = f"{rng.choice(('www', 'api', 'cdn', 'docs'))}.{_name(rng, '-')}.{rng.choice(_ENDINGS)}"
    path = "/".join(_name(rng, "-") for _ in range(rng.randint(1, 3)))
    fields = [f"{rng.choice(_WORDS)}={rng.getrandbits(32):x}" for _ in range(rng.randint(0, 3))]
    return f"https://{host}/{path}{'?' if fields else ''}{'&'.join(fields)}\n"


def _code(rng: random.Random) -> str:
    name, one, two = (_name(rng, "_") for _ in range(3))
    if rng.random() < 0.5:
        return (
            f"def {name}({one}: int, {two}: str = {rng.choice(_WORDS)!r}) -> None:\n"
            f"    for i in range({rng.randrange(100)}):\n"
            f"        if {one} % {rng.randint(2, 64)} == 0:\n"
            f"            self.{two}[i] += {name}({one} - 1, {two}[{rng.randrange(9)}:])\n\n"
        )
    return (
        f"const {name} = async ({{ {one}, {two} }}) => {{\n"
        f"  const res = await fetch(`/{rng.choice(_WORDS)}/${{{one}}}?n={rng.randrange(999)}`);\n"
        f"  return {two}.filter((x) => x.{rng.choice(_WORDS)} !== {rng.randrange(100)} && x);\n"
        f"}};\n\n"
    )


def _json(rng: random.Random) -> str:
    record = {
        "id": rng.getrandbits(40),
        _name(rng, "_"): rng.choice((None, True, False, rng.choice(_WORDS))),
        _name(rng, "_"): round(rng.uniform(-1000, 1000), rng.randint(1, 6)),
        _name(rng, "_"): {rng.choice(_WORDS): rng.choices(_WORDS, k=rng.randint(0, 3))},
    }
    return json.dumps(record, indent=rng.choice((None, 2))) + "\n"


def _table(rng: random.Random) -> str:
    columns = rng.randint(3, 5)
    rows = [rng.sample(_WORDS, columns), [rng.choice(("---", "---:")) for _ in range(columns)]]
    for _ in range(rng.randint(2, 6)):
        figures = [f"{rng.uniform(0, 500):.{rng.randint(0, 3)}f}" for _ in range(columns - 1)]
        rows.append([_name(rng, " "), *figures])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) + "\n"


def _emoji(rng: random.Random) -> str:
    first, last = rng.choice(((0x1F300, 0x1F5FF), (0x1F600, 0x1F64F), (0x1F900, 0x1F9FF)))
    forms = (
        chr(rng.randint(first, last)),
        rng.choice("👍👋👏🙏💪🤝") + chr(rng.randint(0x1F3FB, 0x1F3FF)),  # a skin tone
        "".join(chr(rng.randint(0x1F1E6, 0x1F1FF)) for _ in range(2)),  # a flag
        rng.choice("👩👨🧑") + "\u200d" + rng.choice("🚀🔬🎨🍳🌾💻🏫"),
        rng.choice("❤☀☎✈☕") + "\ufe0f",
    )
    return rng.choice(forms)


def _unicode(rng: random.Random) -> str:
    """Any code points, assigned or not, half of them of the first plane; no surrogates."""
    codes = [rng.randrange(0x800, rng.choice((0x10000, 0x110000))) for _ in range(16)]
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)


def _binary(rng: random.Random) -> str:
    """Bytes read as Latin-1: noise, and the zeros that fill real files."""
    return (rng.randbytes(rng.randint(1, 24)) + bytes(rng.randint(0, 6))).decode("latin-1")


def _name(rng: random.Random, joint: str) -> str:
    return joint.join(rng.sample(_WORDS, rng.randint(1, 2)))


_PIECES: dict[str, Callable[[random.Random], str]] = {
    "hex ids": _hex_id,
    "base64 ids": _base64_id,
    "UUIDs": _uuid,
    "numbers": _number,
    "dates": _date,
    "URLs": _url,
    "code": _code,
    "JSON": _json,
    "Markdown tables": _table,
    "emoji": _emoji,
    "Chinese": sentences.chinese,
    "Arabic": sentences.arabic,
    "Hindi": sentences.hindi,
    "Cyrillic": sentences.cyrillic,
    "random Unicode": _unicode,
    "binary as text": _binary,
}
KINDS = (RANDOM_TOKENS, *_PIECES)
