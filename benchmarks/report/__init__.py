"""Result files as tables and plots."""
