"""Traces: what happened inside a transaction, in the shapes that go-ethereum's users know.

An engine that traces reports to one `hooks.Tracer`: the beginning, each step, each entered and
left frame, each log, the end. The tracers here turn that into JSON values; they know no engine.
Which one is wanted is a value of `requests`, so that an engine in another language may build the
same results itself.

| request | result |
|---|---|
| `StructLogs` | every step, as execution-apis fixes it; the default of debug_trace* |
| `CallTree` | callTracer: nested frames, with logs if wanted |
| `FlatCalls` | flatCallTracer: the same frames as a list with addresses, Parity's shape |
| `Prestate` | prestateTracer: the accounts that were read, or what changed (`diff`) |
| `FourBytes` | 4byteTracer: how often which selector was called |
| `Noop` | noopTracer: an empty object |
| `GasProfile` | gasProfileTracer (ours): gas by contract and opcode |
| `Several` | muxTracer: several of them in one run |

Rules: error words, value formats and the order of fields are go-ethereum's (eth/tracers). A trace
costs memory in proportion to what it shows, up to `TRACE_BYTES_MAX`; beyond that it is refused.
"""
