"""Cryptography that QENEX relies on, each behind one small module.

`keccak` hashes, `secp256k1` signs and recovers, `keyfile` stores keys encrypted. The libraries
are pysha3, coincurve (libsecp256k1) and eth-account; nothing here is a primitive of our own.
"""
