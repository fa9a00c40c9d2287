"""How a network begins: the genesis document, its predeployed contracts, ready-made profiles.

A document is geth's genesis.json with one more section, `qenex`, for what consensus and the peers
must agree on. Two nodes are in one network when their documents give one genesis block.

    document.py    types, load, parse, save        fields.py      typed reads that name the path
    predeploys.py  contracts of the first state     nodes.py       peer ids and addresses
    profiles.py    `localnet` and `single`, with the well-known test accounts
"""
