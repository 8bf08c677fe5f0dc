"""Torture of a store: processes killed, power cut, and crowds of writers; nothing may be lost."""
