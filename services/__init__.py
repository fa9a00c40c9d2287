"""Room: services, processes that speak JSON-RPC to a node (bridge, explorer, faucet, gateways).

They import `primitives` and `contracts` only, and reach a node through its public interface, so
that a service can fail, restart or move to another machine without a validator noticing.
"""
