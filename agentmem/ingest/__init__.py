"""From user input to rows ready to be written; nothing here reads a store."""
