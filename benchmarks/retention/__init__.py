"""How much of a chunk a frozen encoder's embedding holds."""
