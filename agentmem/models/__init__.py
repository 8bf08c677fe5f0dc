"""Models, behind numpy protocols: torch stays in here."""
