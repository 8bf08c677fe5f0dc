"""One module per group of commands; each reads its options, calls the SDK and shows the result."""
