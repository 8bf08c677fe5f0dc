"""Words that say that something is so or has changed, and words that do not say what."""

from __future__ import annotations

from typing import Any

from agentmem_storage.patterns import unicode_pattern


def _pattern(words: str) -> Any:
    return unicode_pattern(rf"(?i)(?<![\p{{L}}\d])(?:{words})(?![\p{{L}}\d])")


# Something holds until further notice.
STATE = _pattern(
    r"is|are|am|(?<=\p{L}['’])(?:s|m|re|ve)|lives?|living|works?|working|drives?|uses?|using|takes?"
    r"|taking|pays?|costs?|charges?|weighs?|reports? to|prefers?|loves?|likes?|owns?|has|have"
    r"|goes|go|stud(?:y|ies|ying)|runs?|starts?|begins?|gets? up|learn(?:s|ing)?|insures?|insured"
    r"|needs?|wears?|rents?|speaks?|attends?|reads?|reading|meets?|leads?|set|stays?|keeps?"
    r"|based|called|put (?:me|him|her|us) on|hired|belongs?|earns?|gets?|looks? after|expires?"
    r"|opens?|closes?|due"
)
# Something is not as it was.
CHANGE = _pattern(
    r"mov(?:ed?|es|ing)|relocat\w+|switch\w*|chang\w+|replac\w+|swap\w*|now|nowadays"
    # Not of "New York".
    r"|new(?!(?-i:(?<=[^\s.!?:]\s+New)\s+\p{Lu}))"
    r"|these days|instead|no longer|no more|any ?more|from now on|from today|since|as of|today"
    r"|start(?:s|ed|ing)|began|begun|join\w*|quit|left|took over|takes over|bec[ao]me|upgrad\w+"
    r"|updat\w+|re(?:set|newed|scheduled|placed|named|trained|booked)|adjusted|cancell?ed|signed|dropped"
    r"|picked up|gone off|finished|retired|died|broke up|rolled out|deploy\w*|is live|turned"
    r"|raised|lowered|increased|decreased|went (?:up|down|to)|goes (?:up|to)|bought|traded|sold"
    r"|pushed|postponed|extended|brought forward|correction|got (?:a|the|my)|g[ai]ven? up|not"
)
# What holds no longer stands directly after one of these, or directly before one of the others.
LEAVING = _pattern(
    r"not|instead of|no longer|out of|left|leaving|quit|dropped|gone off|cancell?ed|finished|was"
    r"|g[ai]ven? up|notice at|sold|rather than|replac(?:es|ed)|from|traded"
)
LEFT = _pattern(
    r"died|left|retired|is gone|are gone|stopped|closed|broke|is dead|was stolen|quit|ended"
)
# Of these there may be several: who speaks French may speak Dutch as well.
SEVERAL = _pattern(
    r"allergic|speaks?|afraid|scared|likes?|loves?|hates?|enjoys?|knows?|owns?|plays?"
)
# What the speaker says of another time than now.
OTHER_TIME = _pattern(
    r"(?:i|we) (?:used to|lived|worked|studied|owned|drove)|as a (?:child|kid|student|teenager)"
    r"|(?:i|we)['’]ll|(?:i|we) (?:will|plan to|want to|hope to)|(?:i['’]m|we['’]re) going to"
)
# What begins a statement about somebody else.
OTHERS = frozenset("she he".split())
# What stands behind the name that begins such a statement: "Anna moved", "Tom said".
MOVES = _pattern("moved|moves|relocated|joined|left|quit|started")
SAYS = _pattern("said|says|told|tells|thinks|thought")
# Begin like names, and are of many.
TITLES = frozenset("dr mr mrs ms prof".split())
# The home and the work that one has oneself, if nothing says whose they are.
OWN_THINGS = frozenset("home flat apartment house job employer career work profession new".split())
# Of more than one thing that is so, one does not exclude the other.
UNSURE = _pattern(r"also|too|as well|another|maybe|perhaps|might|if|both|visited|trip")
# Whose it is, beside the speaker's own.
PERSONS = frozenset(
    "sister brother mother mum mom father dad wife husband partner girlfriend boyfriend son"
    " daughter kids children child baby cousin aunt uncle niece nephew grandma grandpa grandmother"
    " grandfather friend neighbour neighbor colleague coworker roommate flatmate landlord intern"
    " parent family boss company dog cat ex tenant".split()
)
# Words that do not tell what a statement is about: of grammar, of time, of change, and units.
EMPTY = frozenset(
    "a an the this that these those my our your his her its their mine ours i we you he she it they"
    " me us him them and or but so because as of at in on to for from with by about into over up"
    " down out off after before until till during is are am be been being was were s m re ve ll d t"
    " do does did done have has had having will would can could should may might must not no yes"
    " now new newly nowadays currently current these days still again already just really very more"
    " most less much many too also only even ever never always today yesterday tomorrow tonight"
    " week weeks month months year years day days morning evening night afternoon monday tuesday"
    " wednesday thursday friday saturday sunday weekday weekdays daily weekly monthly time times"
    " every each since last next first once o clock am pm one two three there here what which who"
    " where when how why if then than moved move moves moving changed change changes switch"
    " switched start starts started begin began left quit got get gets go goes going went gone make"
    " makes made take takes took taking use uses using used want wants think thinks say says said"
    " know like love need good great nice bad big small little long old other another instead"
    " please okay ok well oh euro euros dollar dollars pound pounds kg kilo kilos mg ml km mile"
    " miles percent usd eur gbp hour hours minute minutes full half all some any thing things stuff"
    " lot back away around called name named i'm i've i'll i'd we're we've we'll you're they're"
    " it's that's there's he's she's don't doesn't didn't isn't aren't can't won't thanks gonna gon"
    " na".split()
)
PREPOSITIONS = frozenset("in on at for to from with by of about as into over near without".split())
# Statements of one kind that share no word: how it is, and how it comes to be so.
KINDS: tuple[tuple[Any, Any], ...] = (
    (
        _pattern(
            r"lives? in|living in|live at|reside in|resident of|home is(?: in)?|based in"
            r"|flat (?:is )?in|apartment (?:is )?in|house (?:is )?in|moved (?:\w+ )?to|stay in"
        ),
        _pattern(
            r"moved (?:back |over |out )?(?:in)?to|relocated to|moving to|settled in"
            r"|home (?:now |city )?is(?: now)?(?: in)?|new (?:flat|apartment|house|home|place) in"
            r"|lives? in|living in|left \p{Lu}\p{L}+ for"
        ),
    ),
    (
        _pattern(
            r"works? (?:at|for)|working (?:at|for)|employed (?:at|by)|employer is|job at"
            r"|hired by|position at|joined|joined the team at"
        ),
        _pattern(
            r"joined|(?:new )?job (?:at|with)|start(?:s|ed|ing)? (?:work(?:ing)? )?at|hired by"
            r"|works? (?:at|for)|working (?:at|for)|signed with|moved (?:over )?to a job at"
            r"|offer from|left \w+ for"
        ),
    ),
    (
        _pattern(r"works? as|working as|job(?: is|:)|i'?m an?|by trade|profession|employed as"),
        _pattern(
            r"works? as|working as|bec[ao]me an?|retrained as|promoted to|start(?:ed)? as"
            r"|career change|now an?|i'?m an? .* now"
        ),
    ),
)
