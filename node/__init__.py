"""A node: one process that assembles the rooms below it into a validator or an observer.

    app.py        opens the parts in order, runs them, closes them        api.py      what RPC sees
    config.py     settings of this machine          folder.py, keys.py    the data folder, its keys
    runtime.py    the loop: inputs to the consensus core, its effects in lawful order
    inbox.py      the queue in front of it          wire.py               bodies of node messages
    ledger.py     head of the chain, executed blocks of the current height
    proposals.py  building and checking blocks      intake.py             transactions into the pool
    sync.py       catching up                       serve.py              answers to peers
    pool.py       transactions that wait            journal.py            those that RPC accepted
    wal.py        the write-ahead log on disk       signer.py             the validator's key
    store.py      RocksDB                           blockstore.py         blocks and views of them
    evidence.py   double signing, kept              check.py              `qenex db check`
    log.py        structured logs                   rpc/                  JSON-RPC

Two threads matter: trio's, which runs consensus, network and commits, and uvicorn's, which answers
JSON-RPC from immutable views. Execution, signature recovery and disk writes run in workers. Only
`runtime.py` loops over what consensus asks; an effect that fails stops the node.
"""
