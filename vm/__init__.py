"""The room that executes: transactions in, change sets, receipts and roots out.

- `engine` is the interface that every execution engine fulfils; `pyevm` is the engine on py-evm.
- `forks` says which rules hold in a block; `pyevm.forks` makes the engine follow them.
- `validate` holds every rule that a transaction must meet, `fees` the base fee, `blocks` the rules
  of a block and the order in which it is built and executed.
- `trace` turns what an engine reports into traces; `overrides` makes a state and a block different
  for one call; `simulate` runs blocks of calls that are never kept (`unsigned` transactions).
- `registry` reads the validator set from the state.
- `importing` takes in public Ethereum chains, with `headers`, `mining` and `requests`.
- `state` holds the state: change sets, flat tables, the Merkle Patricia tries and their roots.

Rules: execution is a pure function of (parent state, context, transactions); its only product is
a `ChangeSet` with receipts and gas. Nothing here writes to a store, but for the importer, which is
given one of its own: rooms above do.
"""
