"""One module per group of commands: parse options, call the SDK, show the result."""
