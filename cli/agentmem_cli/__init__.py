"""The `agentmem` command line; uses only the public layer of the SDK.

Start at `agentmem_cli.entry`. Modules of the SDK are imported where they are used, so that --help
does not load torch.
"""
