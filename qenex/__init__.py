"""What a person uses: the command `qenex`.

cli.py         the command and how its errors look      commands/   one file per subcommand
localnet.py    a network of processes on one machine    jsonrpc.py  a small JSON-RPC client
"""
