"""What was done to a store, and what remains of it: changes, the audit log, and rows out of use."""
