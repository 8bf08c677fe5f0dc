"""Endless training rows for answering questions from short personal memories.

A row is an `Exercise`: some short memories of one person (or of two people), and
questions about them, each with a short answer or with none when no memory answers it. The
wording lives in the TOML files under ``data``; this package reads them, checks them and
puts exercises together. The same seed always gives the same exercises.

The template language of the data files:

* ``{a|b}`` takes one alternative, ``[a]`` is kept half of the time; both nest;
* ``<x>`` is a variable of the frame or else a draw from the pool ``x``; ``<#3-40>`` is a whole
  number of that range (``<#05-59>`` pads with zeros, ``<#10-90:5>`` goes in steps);
* ``$I $my $me $mine $I'm $I've $I'll $I'd`` name the owner of the fact as the speaker would
  ("I", "you", "Ana", "my sister"; mostly "she" the second time), ``$she $her $him $myself`` by a
  pronoun always;
* ``@prefer`` is a verb in the present tense that agrees with the owner; ``@@`` is a plain "@";
* ``a_``, and "a" before a variable or pool, is "a" or "an", as the next word asks for;
* ``<day>`` is "today", "this morning" and the like: the date of the memory line answers "when".

A frame is one kind of fact with one or more attributes:

* ``who``: ``any`` (anyone can have it), ``me`` (only the main people) or ``we`` (the household);
* ``vars``: the attributes and how to draw their values, alternatives parted by ", ";
* ``key``: the attribute that tells two facts of one owner apart;
* ``many``: the attribute of which one owner may have two values at once;
* ``group``: frames of one group are never both stated of the same owner;
* ``say``, ``note``: statements, and bare notes; ``pro``, ``con``: statements of a yes/no fact;
* ``ask.x``: questions for attribute x (``day`` and ``polar`` are the special ones);
* ``yes.x``: "is it <x>?" where another value may be true as well; ``check.x``: where it cannot;
* ``change.x``: statements of a new value of x; ``past.x``: questions for the one before.
"""

from __future__ import annotations

from agentmem.training.reader.personal.errors import DataError
from agentmem.training.reader.personal.records import Exercise, MemoryLine, StatedFact, Trace
from agentmem.training.reader.personal.stream import exercises, inventory, traced

__all__ = [
    "DataError",
    "Exercise",
    "MemoryLine",
    "StatedFact",
    "Trace",
    "exercises",
    "inventory",
    "traced",
]
