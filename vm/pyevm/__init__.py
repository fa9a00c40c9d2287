"""The engine on py-evm: opcodes, gas meter and precompiles are py-evm's, all around them is ours.

py-evm is subclassed, never patched or forked, and imported only in this folder. `state` puts our
overlay where py-evm keeps its account database; `computation` runs messages, mends what py-evm
gets wrong and leaves out its debug strings; `transition` charges, runs and settles one
transaction; `compile` turns hot code into Python; `shadow` compares two engines; `engine` fulfils
`vm.engine.Engine`; `tracing` reports to a tracer what runs, and `simulating` runs the calls of a
simulated block. Validation is `vm.validate`: py-evm's own accepts transactions that must be
refused. Rules: those of the block's fork.
"""

from primitives.deferred import defer

# `bls` computes these precompiles; py-evm's own need py_ecc, which computes tables for 0.25 s.
defer(
    "eth.precompiles.bls12_381.bls12_381_g1",
    "eth.precompiles.bls12_381.bls12_381_g2",
    "eth.precompiles.bls12_381.bls12_381_pairing",
)
