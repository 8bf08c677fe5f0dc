"""The words that times are made of."""

from __future__ import annotations

_NAMES = "january february march april may june july august september october november december"
MONTHS = {name: number for number, name in enumerate(_NAMES.split(), start=1)}
MONTHS |= {name[:3]: number for name, number in MONTHS.items()} | {"sept": 9}
# In lower case these are also verbs.
AMBIGUOUS = frozenset({"may", "mar", "march"})
WEEKDAYS = {
    name: number
    for number, name in enumerate(
        "monday tuesday wednesday thursday friday saturday sunday".split()
    )
}
# The sizes of units, as (unit that the calendar knows, how many).
UNITS = {
    "day": ("day", 1),
    "week": ("week", 1),
    "fortnight": ("week", 2),
    "month": ("month", 1),
    "year": ("year", 1),
    "decade": ("year", 10),
}
UNITS |= {f"{name}s": unit for name, unit in UNITS.items()}
# Units of which no calendar date can be made.
_OTHER_UNITS = "second minute hour night weekend quarter semester term century"
OTHER_UNITS = frozenset(_OTHER_UNITS.split()) | {f"{name}s" for name in _OTHER_UNITS.split()}
OTHER_UNITS |= {"centuries", "hr", "hrs", "min", "mins"}
# Those of the clock, in seconds.
CLOCK_UNITS = {"minute": 60, "min": 60, "hour": 3_600, "hr": 3_600}
CLOCK_UNITS |= {f"{name}s": size for name, size in CLOCK_UNITS.items()}
_ONES = "one two three four five six seven eight nine ten eleven twelve".split()
_TEENS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split()
COUNTS = {"a": 1, "an": 1}
COUNTS |= {name: number for number, name in enumerate(_ONES + _TEENS, start=1)}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
TENS = {name: 10 * number for number, name in enumerate(_TENS.split(), start=2)}
COUNTS |= TENS
# Of two words as well: see `spelling`.
_TWO_DIGITS = {
    f"{ten}-{one}": value + number
    for ten, value in TENS.items()
    for number, one in enumerate(_ONES[:9], start=1)
}
COUNTS |= _TWO_DIGITS
# All words of numbers but "one", which is also a pronoun.
NUMBER_WORDS = frozenset(_ONES[1:] + _TEENS) | TENS.keys() | _TWO_DIGITS.keys()
NUMBER_WORDS |= frozenset("hundred thousand dozen several few".split())
_FIRST = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
_FIRST += "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
ORDINALS = {name: number for number, name in enumerate(_FIRST.split(), start=1)}
ORDINALS |= {f"twenty-{name}": 20 + number for name, number in list(ORDINALS.items())[:9]}
ORDINALS |= {"thirtieth": 30, "thirty-first": 31}
SEASONS = frozenset({"summer", "spring", "autumn", "fall", "winter"})
PARTS_OF_DAY = frozenset({"morning", "afternoon", "evening", "night"})
DECADES = {"fifties": 5, "sixties": 6, "seventies": 7, "eighties": 8, "nineties": 9}

# Before a month, "in" and the like make it a date; before a year, too.
PREPOSITIONS = frozenset({"in", "during", "of", "throughout", "on", "at", "over", "within", "for"})
LISTED = frozenset({"and", "or", "&", ","})
RANGED = frozenset({"to", "until", "till", "through", "thru", "-", "\u2013", "\u2014"})
LEADS = {
    ("since",): "since",
    ("starting", "from"): "since",
    ("starting",): "since",
    ("no", "earlier", "than"): "since",
    ("on", "or", "after"): "since",
    ("after",): "after",
    ("later", "than"): "after",
    ("before",): "before",
    ("prior", "to"): "before",
    ("earlier", "than"): "before",
    ("until", "and", "including"): "until",
    ("up", "to", "and", "including"): "until",
    ("until",): "until",
    ("till",): "until",
    ("by",): "until",
    ("up", "to"): "until",
    ("no", "later", "than"): "until",
    ("on", "or", "before"): "until",
}
# What follows these is not the past, or not one time.
ELSEWHERE = frozenset(
    "next coming upcoming following every each any another this these tomorrow tonight".split()
)
LAST = frozenset({"last", "past", "previous"})
END_OF_CLAUSE = frozenset("?.!,;:)")
FUNCTION_WORDS = frozenset(
    "a an the in on at with of for from about is was were did do does had has have would could can "
    "will should we i she he they you it there and or to when where what who which how why that "
    "this her his my our their your its me him them us by as than if because before after since "
    "until but not only also alone".split()
)

# Movable feasts, those whose extent is unclear, and periods that are not the calendar's.
FEASTS = frozenset(
    "christmas xmas easter thanksgiving halloween hanukkah chanukah passover ramadan eid diwali "
    "pentecost lent advent carnival noel holi nowruz kwanzaa yuletide holidays vacation".split()
)
