"""Primitives name things: the words that every other room shares.

No room below, no state, no input or output beyond key files. What stands here is the same on all
nodes: a type, its bytes, its hash. Decoders take bytes from strangers: they refuse every encoding
but the canonical one, never recurse without a bound, and raise only the errors of `errors`.

| file | holds |
|---|---|
| `types` | `Height`, `Hash32`, `Address`, `Wei`: names for bare bytes and ints; constants |
| `errors` | the error tree, `ensure` |
| `codec` | RLP, strict and bounded |
| `transaction` | `Transaction`, `Authorization`; decoding of raw bytes, sender recovery |
| `receipt` | `Log`, `Receipt`, bloom filters |
| `block` | `Header`, `Block`, their bytes and hash |
| `account` | `Account` (a leaf of the state), `GenesisAccount` |
| `validators` | `Validator`, `ValidatorSet`: powers, quorum, hash |
| `params` | `ChainParams`, `ConsensusTimes`: what all nodes of one network agree on |
| `keyvalue` | the store interface, its columns, and `MemoryStore` |
| `crypto` | keccak, secp256k1, key files |
"""
