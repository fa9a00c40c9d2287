"""Ethereum's forks on py-evm: one computation class each, precompiles of later forks, system calls.

- `table` makes the computation class of each fork out of py-evm's and our corrections.
- `osaka` holds what Osaka adds, which py-evm does not have.
- `system` runs what a block does besides its transactions: system contracts, requests, credits.
"""
