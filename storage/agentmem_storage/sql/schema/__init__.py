"""What rows consist of: tables and their columns, packed BLOBs, and checksums."""
