"""A memory in the shape of mem0's, to try agentmem by changing one import.

::

    from agentmem.integrations.mem0 import Memory    # was: from mem0 import Memory

    m = Memory()
    m.add([{"role": "user", "content": "I am vegan."}], user_id="ana")
    m.search("is Ana vegan?", filters={"user_id": "ana"})["results"]

Calls and results are those of mem0 2. What differs: no language model takes part. What is said is
stored as it was said, as by mem0 with ``infer=False``, and comes back byte for byte; filters have
all of their operators and never cost results; and what is deleted is gone. mem0 is not needed.
"""

from __future__ import annotations

from agentmem.integrations.mem0.memory import DEFAULT_STORE, Memory, NotFoundError

__all__ = ["DEFAULT_STORE", "Memory", "NotFoundError"]
