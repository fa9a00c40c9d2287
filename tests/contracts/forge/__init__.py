"""The invariants of the contracts on a second engine: forge, with suites in Solidity."""
