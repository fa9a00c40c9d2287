"""The computation class of each fork: py-evm's opcodes and precompiles with our corrections.

py-evm has Frontier to Prague, one class per fork; Osaka is Prague with what `osaka` adds. A class
is made of three parts: a base with our corrections (`vm.pyevm.computation.Computation`, or a
subclass of it that runs the same code faster), what `early` takes back for forks before
Shanghai, and the tables of py-evm's class for the fork.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

from eth.vm import opcode_values
from eth.vm.computation import BaseComputation
from eth.vm.forks.berlin.computation import BerlinComputation
from eth.vm.forks.byzantium.computation import ByzantiumComputation
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.constantinople.computation import ConstantinopleComputation
from eth.vm.forks.frontier.computation import FrontierComputation
from eth.vm.forks.homestead.computation import HomesteadComputation
from eth.vm.forks.istanbul.computation import IstanbulComputation
from eth.vm.forks.london.computation import LondonComputation
from eth.vm.forks.paris.computation import ParisComputation
from eth.vm.forks.petersburg.computation import PetersburgComputation
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.shanghai.computation import ShanghaiComputation
from eth.vm.forks.spurious_dragon.computation import SpuriousDragonComputation
from eth.vm.forks.tangerine_whistle.computation import TangerineWhistleComputation
from eth_typing import Address as EthAddress

from vm.forks import Fork
from vm.pyevm.computation import JUMPS, MODEXP_ADDRESS, Computation, stoppable_opcode
from vm.pyevm.forks import osaka
from vm.pyevm.forks.early import (
    BeforeHomestead,
    BeforeLondon,
    BeforeShanghai,
    BeforeSpuriousDragon,
)
from vm.pyevm.forks.kzg import POINT_EVALUATION_ADDRESS, point_evaluation
from vm.pyevm.forks.order import in_order
from vm.pyevm.modexp import modexp, modexp_byzantium, modexp_osaka

Precompiles: TypeAlias = Mapping[EthAddress, Callable[..., Any]]

_PYEVM: Final[dict[Fork, type[BaseComputation]]] = {
    Fork.FRONTIER: FrontierComputation,
    Fork.HOMESTEAD: HomesteadComputation,
    Fork.TANGERINE_WHISTLE: TangerineWhistleComputation,
    Fork.SPURIOUS_DRAGON: SpuriousDragonComputation,
    Fork.BYZANTIUM: ByzantiumComputation,
    Fork.CONSTANTINOPLE: ConstantinopleComputation,
    Fork.PETERSBURG: PetersburgComputation,
    Fork.ISTANBUL: IstanbulComputation,
    Fork.MUIR_GLACIER: IstanbulComputation,
    Fork.BERLIN: BerlinComputation,
    Fork.LONDON: LondonComputation,
    Fork.ARROW_GLACIER: LondonComputation,
    Fork.GRAY_GLACIER: LondonComputation,
    Fork.PARIS: ParisComputation,
    Fork.SHANGHAI: ShanghaiComputation,
    Fork.CANCUN: CancunComputation,
    Fork.PRAGUE: PragueComputation,
    Fork.OSAKA: PragueComputation,
    Fork.BPO1: PragueComputation,
    Fork.BPO2: PragueComputation,
}


@cache
def computation_of(
    fork: Fork, *, stoppable: bool = False, base: type[Computation] = Computation
) -> type[Computation]:
    """Return the computation class of `fork` on `base`.

    A `stoppable` one asks its state's `stop` at each jump; no code runs long without jumps or
    calls.
    """
    opcodes = opcodes_of(fork)
    if stoppable:
        opcodes |= {code: stoppable_opcode(opcodes[code]) for code in JUMPS}
    early = _early(fork)
    bases = (base,) if early is None else (early, base)
    if early is not None and issubclass(early, base):
        bases = (early,)
    members = {"opcodes": opcodes, "_precompiles": dict(precompiles_of(fork))}
    return type(f"{fork.name.title().replace('_', '')}Computation", bases, members)


def opcodes_of(fork: Fork) -> dict[int, Any]:
    """Return the opcodes of `fork`: SELFDESTRUCT without py-evm's warning, gas before refusals."""
    opcodes: dict[int, Any] = dict(_PYEVM[fork].opcodes)
    if fork >= Fork.SHANGHAI:
        selfdestruct: Any = opcodes[opcode_values.SELFDESTRUCT]
        opcodes[opcode_values.SELFDESTRUCT] = selfdestruct.__wrapped__
    if fork >= Fork.OSAKA:
        opcodes |= osaka.OPCODES
    return opcodes | in_order(opcodes)


@cache
def precompiles_of(fork: Fork) -> Precompiles:
    """Return the precompiled contracts of `fork`."""
    precompiles: dict[EthAddress, Any] = dict(_PYEVM[fork].get_precompiles())
    if fork >= Fork.CANCUN:
        precompiles[POINT_EVALUATION_ADDRESS] = point_evaluation
    if fork >= Fork.OSAKA:
        precompiles[MODEXP_ADDRESS] = modexp_osaka
        precompiles[osaka.P256_ADDRESS] = osaka.p256verify
    elif fork >= Fork.BYZANTIUM:
        precompiles[MODEXP_ADDRESS] = modexp if fork >= Fork.BERLIN else modexp_byzantium
    return precompiles


def _early(fork: Fork) -> type[Computation] | None:
    """Return what takes back the changes of later forks to creation."""
    if fork >= Fork.SHANGHAI:
        return None
    if fork >= Fork.LONDON:
        return BeforeShanghai
    if fork >= Fork.SPURIOUS_DRAGON:
        return BeforeLondon
    return BeforeSpuriousDragon if fork >= Fork.HOMESTEAD else BeforeHomestead
