"""The developer chain: one validator that mines at once, and the methods that test suites use.

It is a real chain of ours (engine, pool, block store, certificates) with three liberties that no
other network has: it can go back to an earlier moment (`points`), its state can be changed by hand
(`edits`), and it sends for accounts whose key nobody has (`unsigned`). Nothing outside this package
knows them: a node's store has no way back, and a node's server has none of the methods here. Only
`qenex dev` puts this package to use (docs/notes/0095-developer-chain.md).

`chain` is the chain, `clock` its time, `accounts` its unlocked keys, `view` what is read of it,
`dump` its state in a file; `methods_*` are the JSON-RPC methods; `app` runs it all in one process.
"""
