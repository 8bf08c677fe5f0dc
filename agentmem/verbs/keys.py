"""The verb that changes the key of an encrypted store."""

from __future__ import annotations

from agentmem.errors import InputError
from agentmem.verbs.handle import Handle
from agentmem_storage.encryption.master import Key


class KeyVerbs(Handle):
    """What is done with the master key."""

    def change_key(self, key: Key) -> None:
        """Give an encrypted store another master key.

        ::

            mem.change_key("new.key")

        Only the data keys in ``keys.db`` are encrypted anew, all of them in one transaction: if the
        process dies, the store has the old key or the new one. Backups without keys open with the
        key ring of today; a copy of ``keys.db`` that was made before still opens with the old key.

        This Memory and its scoped handles go on. Whoever else has the store open gets a
        WrongKeyError at the next call, and opens it again.

        Args:
            key: The new key, as for `Memory`: the path of a file with 32 random bytes, these bytes,
                or a function that returns them.

        Raises:
            InputError: the store is not encrypted, has that key already, or the key file is in its
                folder; or this is a scoped handle, and the key is that of everybody.
            StoreKeyError: the key cannot be read, or is none.
            WrongKeyError: another process has changed the key since this one opened the store.
            KeyRingError: ``keys.db`` is missing or damaged.
            StoreUnwritableError: ``keys.db`` cannot be written.
        """
        if not self._owns_store:
            raise InputError(
                f"change_key() is for the complete store: call it on the Memory that was opened, "
                f"not on {self!r}"
            )
        self._store.change_key(key)
        self._given_key.change(key)
