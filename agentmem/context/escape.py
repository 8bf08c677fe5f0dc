r"""Makes untrusted text inert in a prompt: it can end no block, begin no line and open no turn.

What is escaped, so that it stays readable and cannot be taken for what it imitates:

- marks: ``<memories>`` and its closing tag, tags named after a role, tags of tool calls and of
  documents (``<invoke name="x">``, ``</search_results>``), and the control tokens of
  chat templates (``<|im_start|>``, ``<start_of_turn>``, ``[INST]``, ``<<SYS>>``, ``</s>``,
  ``<extra_id_0>``, ``[gMASK]``, ``[|user|]``, ``<seed:bos>``, ``]~b]``). Their
  bracket becomes a character reference, ``&lt;``, however the mark is spelled: with spaces,
  invisible characters or look-alikes from other alphabets;
- control characters, direction overrides and invisible tag characters: ``\x1b``, ``\u202e``;
- names that look as if they ended their head, had another one in them, or were a role: they are
  quoted;
- line breaks of every kind: further lines are indented, so that only a memory's head stands at the
  beginning of a line.

Ordinary text passes unchanged, but for that indentation.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping

from agentmem_storage.patterns import pattern

INDENT = "  "
_ENTITIES = {"<": "&lt;", "[": "&#91;"}

# Brackets and letters that look like those of a mark and have no compatibility decomposition to it.
_LOOK_ALIKES = str.maketrans(
    dict.fromkeys("‹〈〈⟨《⟪«˂ᐸ❬❮❰⧼≺⪡≪⋘⋖⦉⦑⦓", "<")
    | dict.fromkeys("›〉〉⟩》⟫»˃ᐳ❭❯❱⧽≻⪢≫⋙⋗⦊⦒⦔", ">")
    | dict.fromkeys("⁅⟦【〔", "[")
    | dict.fromkeys("⁆⟧】〕", "]")
    | dict.fromkeys("⁄∕╱⧸⟋\\", "/")
    | dict.fromkeys("¦∣ǀ│┃❘⏐", "|")
    | {"▁": "_", "‐": "-", "–": "-", "—": "-", "−": "-"}
    # Cyrillic, Greek, Armenian and Latin letters.
    | dict(
        zip(
            "аеёєοоօрсуѕіїıɩιјммϻτтүνпһոԛԝɑɡɪʏᴍᴇᴏʀѵꜱꮪ",
            "aeeeooopcysiiiiijmmmttuvnhnqwagiymeorvss",
            strict=True,
        )
    )
)
# Every character that may be the bracket of a mark; the rest of the work is needed only after one.
# The last ones have a decomposition to one of the others, perhaps with an overlay.
_BRACKET = pattern(
    r"[<\[\]"
    + "".join(chr(one) for one, plain in _LOOK_ALIKES.items() if plain in ("<", "[", "]"))
    + "\u2329\u226e\u2280\ufe3d\ufe3f\ufe64\uff1c"
    + "\ufe39\ufe3b\ufe47\ufe5d\uff3b\ufe3a\ufe3c\ufe48\ufe5e\uff3d]"
)
_ROLES = (
    "memory|memories|system|sys|user|assistant|developer|human|tool|inst|instructions?|think"
    "|thinking"
)
# Control tokens that are no words of markup, exactly as they are: of T5, BERT, GLM, Gemma,
# Baichuan, InternLM and Cohere, of vision models, and of models of code.
_TAGS = (
    r"role|pad|unk|mask|cls|sep|sop|eop|eod|eot|bot|eoh|eoa|image|suf|mid|eom|eol|0x[0-9a-f]{2}"
    r"|(?:tokens_)?unused_?\d{1,6}|reserved_\d{1,6}|(?:bos|eos|pad|unk|cls|sep|mask)_token"
    r"|repo_?name|file_?name|file_sep|gh_stars|empty_output|issue_(?:start|comment|closed)"
    r"|jupyter_[a-z]{1,20}|commit_[a-z]{1,20}"
    r"|audio|video|global-img|fake_token_around_image|row_\d{1,3}_col_\d{1,3}|ctrl\d{1,4}|_bot"
    r"|arg_(?:key|value)|(?:start|end)_function_[a-z]{1,20}|escape"
)
_BRACKETED = (
    r"[gs]?mask|cls|sep|pad|unk|bos|eos|img(?:_break|_end)?|prefix|suffix|middle|/?think"
    r"|args|call_id|/?model_settings|unused_?(?:token_)?\d{1,6}"
)
# Tags in which tools are called and prompts are given documents, some within a namespace. Bare and
# right behind a word, such a name is a type: List<Document>.
_CALLS = r"(?:[a-z]{1,20}:)?(?:invoke|parameter|functions?|tools|documents?|context|results?)"
# Searched in the skeleton of a text, where white space is single; a match begins at its bracket.
_MARK = pattern(
    rf"<\s?[/!?]{{0,4}}\s?(?:{_ROLES})(?![a-z])"
    r"|<\s?[/!?]{0,4}\s?(?:[a-z]+_of_[a-z]+|im_[a-z]+|(?:tool|function)_[a-z]+|bos|eos|endoftext)(?![a-z])"
    rf"|<\s?/\s?{_CALLS}\s?>|(?<![a-z0-9_])<\s?{_CALLS}\s?/?\s?>"
    rf"|<\s?{_CALLS}(?:\s[a-z_]{{1,20}})?\s?="
    r"|<\s?/?\s?(?:[a-z]{1,20}:)?(?:search_results?|document_contents?|(?:tool|function)_[a-z]+)(?![a-z])"
    r"|<\s?/?\s?(?:extra_id_|fim_)"
    rf"|<\s?/?\s?(?:{_TAGS})\s?/?\s?>"
    rf"|\[\s?(?:{_BRACKETED})\s?\]"
    r"|<\s?/?\s?s\s?>"
    # Families of tokens: <seed:bos>, <mask:1>; <longcat_user>, <_end>; <turn|>; <SPECIAL_10>;
    # <image_soft_token>; [|user|]; [BEGIN_AUDIO]; [CONTROL_8]; ]~b]user and [e~[.
    rf"|<\s?/?\s?(?:seed:|[a-z]{{1,20}}:(?:{_ROLES}|{_TAGS}|bos|eos|end)\s?>)"
    rf"|<\s?/?\s?(?:{_TAGS}):\d{{1,6}}\s?>"
    rf"|<\s?/?\s?[a-z]{{0,20}}_(?:{_ROLES}|bos|eos|pad|end|start)\s?>"
    r"|<\s?/?\s?[a-z_]{1,40}\s?\|\s?>"
    r"|<\s?/?\s?[a-z]{3,20}(?:_[a-z]{1,20}){0,3}_\d{1,6}\s?>"
    r"|<\s?/?\s?[a-z]{1,20}(?:_[a-z]{1,20}){0,3}_(?:token|placeholder)\s?>"
    r"|\[\s?\|\s?/?[a-z_]{1,40}\s?\|\s?\]"
    r"|\[\s?/?\s?(?:begin|end)_(?:audio|image|img|video|speech|text|tool|turn|of)[a-z_]{0,20}\s?\]"
    r"|\[\s?(?:control|special|reserved|extra)_\d{1,6}\s?\]"
    r"|\]\s?~\s?!?\s?[a-z](?=\s?[\[\]])|(?<=\]~[a-z])\[|(?<=\]~![a-z])\["
    r"|\[\s?[a-z]\s?~(?=\s?\[)|(?<=\[[a-z]~)\["
    r"|<\s?/?\s?\|"
    r"|<(?=\s?<\s?/?\s?sys(?![a-z]))"
    r"|\[\s?/?\s?(?:inst|sys|system[ _]prompt|available[ _]tools"
    r"|tool[ _](?:calls|results|content))\s?\]"
)

# Tab and line feed are ordinary. The tags of a flag (England, Scotland, Wales) are too.
_HIDDEN = pattern(
    "(?P<flag>\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f)"
    "|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_QUOTE = pattern('["“”„‟«»＂]')
# In a name, which is short and stands where the roles do, invisible characters have no place.
_HIDDEN_IN_NAME = pattern("[\u061c\u200b\u200e\u200f\u2060-\u2064\ufeff]")
# Lines that a reader's prompt has itself, or that begin a turn.
_FORGED_LINE = pattern(
    r"(?i)\W{0,40}(?:notes|question|answer|system|user|assistant|developer|human|model|ai|tool)\b"
    r"[^\w:]{0,20}:",
)
_DATED_HEAD = pattern(r"\(\s?\d{1,2}\s\w{1,20}\s\d{4}\s?\)\s?:")
# What turns are named after, and the role that it is.
_ROLE_NAMES = {one: one for one in ("system", "user", "assistant", "developer", "tool")} | {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
}
# What a name has in it that looks like the end of a head, or like the beginning of another.
_HEAD_IN_NAME = pattern(
    r"[:∶꞉ː։׃᠄⁚˸፡：﹕](?!//|\\|\d)|[\[⁅⟦【〔［]\s?(?:#\d|\d{4}-)|\(\s?\d{1,2}\s\w{1,20}\s\d{4}\s?\)"
)
# Characters of a line in which the end of its head is looked for.
_HEAD = 240


def inert(text: str) -> str:
    """A text without marks and hidden characters, its further lines indented."""
    return f"\n{INDENT}".join(_visible(_without_marks(text)).splitlines())


def name(text: str, role: str | None = None) -> str:
    """A name on one line, without marks and hidden characters.

    Args:
        text: The name.
        role: The role of who has it.

    Returns:
        The name; quoted if it imitates a head, or a role other than ``role``.
    """
    one_line = " ".join(text.split())
    shown = _HIDDEN_IN_NAME.sub("", _visible(" ".join(_without_marks(text).split())))
    bare = _HIDDEN_IN_NAME.sub("", one_line)
    # As it is, because some of its characters only look like a colon; and NFKC, because some are.
    imitates = any(map(_HEAD_IN_NAME.search, (bare, unicodedata.normalize("NFKC", bare))))
    imitated = skeleton(bare)[0].strip(" *#<>[]()_-")
    if imitates or (imitated in _ROLE_NAMES and _ROLE_NAMES[imitated] != role):
        return '"' + _QUOTE.sub("'", shown) + '"'
    return shown


def unforged(text: str) -> str:
    """A text for a reader that takes it as plain tokens, where no mark has a meaning.

    Byte for byte the same, except that hidden characters are escaped, and a line is indented that
    looks like the head of a memory, a role or a part of the prompt.
    """
    first, *rest = _visible(text).splitlines(keepends=True) or [""]
    skeletons = (skeleton(line)[0] for line in rest)
    return first + "".join(
        INDENT + line if _forges(bare) else line for line, bare in zip(rest, skeletons, strict=True)
    )


def _forges(line: str) -> bool:
    return bool(_FORGED_LINE.match(line) or _DATED_HEAD.search(line, 0, _HEAD))


def skeleton(text: str) -> tuple[str, list[int]]:
    """What a text looks like in plain lower-case ASCII, and where each of its characters is from.

    Invisible characters and accents are left out, look-alikes replaced, and of white space only
    the first character is kept, so that no pattern has to look for its end.
    """
    letters: list[str] = []
    offsets: list[int] = []
    for place, character in enumerate(text):
        if character < "\x80":
            plain = character.lower()
        else:
            plain = unicodedata.normalize("NFKD", character).casefold().translate(_LOOK_ALIKES)
        plain = plain.replace("\\", "/")
        for letter in plain:
            if letter.isspace() and letters and letters[-1].isspace():
                continue
            if unicodedata.category(letter) not in ("Cf", "Mn", "Me", "Cc") or letter in "\t\n\r":
                letters.append(letter)
                offsets.append(place)
    return "".join(letters), offsets


def json_text(value: object) -> str:
    """A value as JSON in which no mark and no hidden character is spelled out; parsed, it is equal.

    Args:
        value: Dicts with string keys, lists, strings, numbers, truth values and None.
    """
    if isinstance(value, str):
        return f'"{_json_string(value)}"'
    if isinstance(value, Mapping):
        items = (f"{json_text(key)}:{json_text(one)}" for key, one in value.items())
        return f"{{{','.join(items)}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(json_text, value))}]"
    return json.dumps(value)


def _json_string(text: str) -> str:
    parts, end = [], 0
    for place in _marks(text):
        parts += [json.dumps(text[end:place], ensure_ascii=False)[1:-1], _json_escape(text[place])]
        end = place + 1
    parts.append(json.dumps(text[end:], ensure_ascii=False)[1:-1])
    return _HIDDEN.sub(lambda found: found["flag"] or _json_escape(found[0]), "".join(parts))


def _json_escape(character: str) -> str:
    """A character as JSON in ASCII; one of ASCII too, which `json` writes as it is."""
    return json.dumps(character)[1:-1] if ord(character) > 127 else f"\\u{ord(character):04x}"


def _without_marks(text: str) -> str:
    parts, end = [], 0
    for place in _marks(text):
        bracket = text[place]
        parts += [text[end:place], _ENTITIES.get(bracket, f"&#{ord(bracket)};")]
        end = place + 1
    return "".join([*parts, text[end:]])


def _marks(text: str) -> Iterator[int]:
    """Yield the places of the brackets of marks."""
    if _BRACKET.search(text):
        bare, offsets = skeleton(text)
        for match in _MARK.finditer(bare):
            yield offsets[match.start()]


def _visible(text: str) -> str:
    return _HIDDEN.sub(lambda found: found["flag"] or _escaped(found[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )
