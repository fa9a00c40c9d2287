"""The room that executes: transactions in, change sets, receipts and roots out.

- `engine` is the interface that every execution engine fulfils; `pyevm` is the engine on py-evm.
- `validate` holds every rule that a transaction must meet, `fees` the base fee, `blocks` the rules
  of a block and the order in which it is built and executed.
- `registry` reads the validator set from the state.
- `state` holds the state: change sets, flat tables, the Merkle Patricia tries and their roots.

Rules: execution is a pure function of (parent state, context, transactions); its only product is
a `ChangeSet` with receipts and gas. Nothing here writes to a store: rooms above do.
"""
