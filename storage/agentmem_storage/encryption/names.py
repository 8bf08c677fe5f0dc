"""The files of an encrypted store, as they are named in its folder.

By themselves, since whoever opens any store looks for them, and needs nothing else of encryption.
"""

from __future__ import annotations

from typing import Final

ENCRYPTED_NAME: Final = "encrypted.db"
RING_NAME: Final = "keys.db"
