"""The block compiler: hot EVM code becomes Python functions; the rest stays py-evm's opcodes.

- `rules` reads a fork's table of opcodes and says which of them can be written as Python.
- `unit` writes one unit, a straight path of basic blocks, as the source of one function.
- `helpers` holds what units call: memory, storage, logs, signed arithmetic.
- `program` keeps what is known of one code (jump destinations, visits, units), and the cache.
- `computation` runs a message on all this, behind py-evm's own computation class.

How it works
- A frame begins as an interpreter of py-evm's opcodes that goes from basic block to basic block and
  counts visits. A block that is visited often becomes the head of a unit: it and the blocks that
  follow it along the more visited side of each conditional jump, with the stack kept in local
  variables between them. Leaving the path is a side exit that puts the stack back.
- **A unit never fails on its own.** Gas of a run of opcodes is taken at once and the heights of the
  stack are checked at the unit's head; if either does not fit, the unit puts everything back and
  hands its place to the interpreter, which then does exactly what py-evm does, at the very opcode.
  Runs end before every opcode that sees the gas that is left or can fail by something else.
- An opcode is written as Python only if the fork's table holds the very function of py-evm that
  the template was written for; its price comes from that table. Any other opcode (calls,
  creations, opcodes of newer forks) is called as it stands there. So every fork can be compiled.

Bounds: each opcode put into a unit is paid for by CREDIT_PER_OPCODE opcodes that this code has
run in the interpreter before, hence compiling takes about as long as interpreting took at most,
whatever the code. Opcodes per unit, opcodes in units per code, codes known and opcodes in units in
all have named maxima in `program`. Above them code simply stays interpreted.
"""
