"""The state of the chain: what is stored, how it changes, and its roots.

- `changes`: the reader protocol and the change set, the only product of execution.
- `overlay`: the undo log over a reader, which makes a change set.
- `layered`: the reader of a state with a change set on top that is not committed yet.
- `store`: flat tables (the truth that reads use) and the update that a change set makes.
- `history`: old values by height, and the tables as they were after a block.
- `proofs`: Merkle proofs of accounts and slots, present and past.
- `trie`: the batched, path-keyed Merkle Patricia trie (the proof of that truth).
- `roots`: transactions root and receipts root of a block.
- `encoding`: RLP of accounts and trie nodes by slices.
- `walk`, `paths`: tries from sorted rows; the paths of their nodes.
- `first`: the state of a genesis `alloc`, written as it is made.
- `nodes`: a bounded cache of trie nodes by what refers to them.
- `cache`: the newest state in dicts before a node's store.
- `memory`: a state in dicts for genesis and tests.

Layout of the columns, all keys by Keccak-256 of the plain key:

    ACCOUNT   keccak(address)                  slim RLP of the account
    SLOT      keccak(address) + keccak(slot)   value, big-endian without leading zeros, never 0
    CODE      code hash                        code, never deleted
    TRIE      "A" + path                       account trie node, one byte per nibble of the path
              "O" + keccak(address) + path     storage trie node
    PREIMAGE  keccak(x)                        x: an address (20 bytes) or a slot (32 bytes)
    DIFF      height                           names of the keys that the block changed
    INDEX     name of a key + height           its value before that block

Finality is instant, so there is one version of each key: the committed state's. Older ones are in
INDEX, as `vm.state.history` says.
"""
