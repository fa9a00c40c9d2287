"""A whole network of consensus cores in one event queue: time, faults and disks are simulated.

One seed makes one schedule, bit for bit: who crashes and when, which messages are lost, delayed,
doubled or held back, what an unsynced disk forgets, what a traitor says. `plan` draws the faults,
`world` runs them, `chain` watches the invariants after each event, `coverage` counts what
happened. Run it with `python -m scripts.simulate`.
"""
