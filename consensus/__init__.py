"""Decides one block per height among known validators: the QENEX consensus protocol.

This text, with the byte formats in `messages`, `signing`, `certificate` and `wal`, is the
specification: who implements it agrees with this node. It is Tendermint, algorithm 1 of Buchman,
Kwon and Milosevic, "The latest gossip on BFT consensus", arXiv 1807.04938 (L-numbers below).

Model
    n units of voting power are spread over the validators of a height. A quorum is
    floor(2n/3) + 1, "a third" is floor(n/3) + 1. While less than a third of power is faulty in
    any way, no two nodes decide different blocks (safety, whatever the network does); once
    messages arrive in time, each height is decided (liveness). A block that is decided is final.
    The set of validators of height h + 1 is known when h is committed.

A height
    goes through rounds 0, 1, 2, ... Each round has one proposer (`proposer`), and three steps:
    the proposer sends a Proposal; each validator sends one Prevote, for its block or for nil;
    each sends one Precommit, for the block that a quorum prevoted, or for nil. Nil is the zero
    hash. A quorum of precommits for one block, in any round, decides it: those signatures are
    its certificate (`certificate`). A node keeps per height
        round, step          where it is
        locked round, hash   the block it last precommitted; it prevotes no other one, unless
                             a later prevote quorum for that other one is shown
        valid round, block   the block of the newest prevote quorum it saw; it proposes that

Rules, tried after every input in this order until none applies
    1  L49  a quorum of precommits of any round for a block known to be valid: decide.
    2  L55  a third of power has sent messages of a later round: go to the highest round that a
            third has reached or passed.
    3  L22  proposal of this round, no pol_round, step propose: prevote it when it is valid and
            no other block is locked, else nil.
       L28  proposal of this round with pol_round, a quorum of prevotes for it in pol_round, step
            propose: prevote it when it is valid and nothing else is locked after pol_round,
            else nil.
    4  L36  a quorum of prevotes of this round for a block known to be valid, step beyond
            propose, first time: it is the valid value; in step prevote lock it and precommit it.
    5  L44  a quorum of nil prevotes, step prevote: precommit nil.
    6       a quorum of nil precommits of this round: next round.
    7  L34, L47  a quorum has prevoted (precommitted) anything in this round or is in a later one:
            start the prevote (precommit) timer, once.
    Timers: propose (L57) prevotes nil; prevote (L61) precommits nil; precommit (L65) begins the
    next round. Each lasts first + round * delta, capped (`primitives.params.ConsensusTimes`).
    A round begins with the propose timer; its proposer repeats the valid block with its round as
    pol_round, or builds a new one (L14-L19).
    A proposer of whom no message was counted in the height until the propose timer of its round
    ended is absent, from then on until a message of it is counted: the propose timer of its
    rounds is 0 ms. Each node judges for itself, and never itself.

Between heights
    Round 0 of a height begins block_period_ms after round 0 of the last one when there is work,
    empty_block_period_ms after it otherwise, and never before the last block is committed; work
    that arrives shortens the wait. A proposal of the height, or messages of a third of power,
    begin it at once. After a restart it begins at once; after a synced block block_period_ms
    later, so that heights which the others have long decided cause no work.

Messages
    Received messages of the current height are checked in this order: the validator is in the
    set; a proposal comes from its round's proposer and names an earlier pol_round; the round is
    within 64 of the current one (of later ones only each validator's newest round is kept);
    it is not a repetition; the signature is right. Only then does anything remember it. One
    message per (validator, kind, round) counts. A second, different one is evidence, reported
    once; it also counts when it is a prevote for the very block and pol_round of the current
    proposal, because otherwise one validator that votes twice could hide a quorum.
    Messages of the next height are kept, the newest per (validator, kind). Messages of later
    heights ask the runtime to sync. Messages of earlier heights are ignored: peers that are
    behind sync blocks with certificates.
    Each rebroadcast_ms while undecided a node repeats its proposal of the round, its newest
    prevote and precommit, and, when its valid round has passed, the prevotes behind it.
    So no message needs to arrive at the first try, and no peer needs a history.

Crash safety
    `wal` holds the records. Before a node signs, the intention is durable; so are locks, valid
    values (with the block's body and its prevotes) and rounds. After a restart the node stands
    where it stood, signs its newest messages again (same digests; signatures are deterministic)
    and makes no other for these places. `SignGuard` checks the same thing independently. A key
    whose log is empty first watches two heights being decided by precommits, unless told
    otherwise: its earlier life may have voted in the height after the last one it decided.

Modules: `messages` and `signing` (formats), `certificate`, `proposer`, `votes` (counting within
bounds), `algorithm` (rules), `core` (inputs, heights, restart), `events` (what goes in and out,
and the ordering law), `evidence`, `wal`, `lightclient` (what those may believe who execute
nothing). Nothing here does I/O or knows the time.
"""
