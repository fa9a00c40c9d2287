// Talks to a QENEX node with js-libp2p alone: ping, identify, status, and one certified block.
//
//   node client.mjs --to /ip4/127.0.0.1/tcp/30303/p2p/12D3... --seed <64 hex digits>
//                   --chain-id 20260 --genesis 0x... --height 3
//
// Prints one line of JSON. The wire is that of p2p/__init__.py; nothing here comes from the node.

import { parseArgs } from 'node:util'

// A dependency wants Node 22; this is what it needs of it.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const { generateKeyPairFromSeed } = await import('@libp2p/crypto/keys')
const { identify } = await import('@libp2p/identify')
const { noise } = await import('@libp2p/noise')
const { ping } = await import('@libp2p/ping')
const { tcp } = await import('@libp2p/tcp')
const { yamux } = await import('@libp2p/yamux')
const { multiaddr } = await import('@multiformats/multiaddr')
const { keccak_256 } = await import('@noble/hashes/sha3.js')
const { createLibp2p } = await import('libp2p')

const STATUS = 0
const GET_BLOCKS = 1
const ITEM = 1
const END = 0
const MORE = 0x80
const SECONDS_MAX = 20

// --- RLP ------------------------------------------------------------------------------------------

function number (value) {
  let hex = value === 0 ? '' : value.toString(16)
  if (hex.length % 2) hex = '0' + hex
  return Buffer.from(hex, 'hex')
}

function prefix (base, size) {
  if (size < 56) return Buffer.from([base + size])
  const length = number(size)
  return Buffer.concat([Buffer.from([base + 55 + length.length]), length])
}

function encode (item) {
  if (Array.isArray(item)) {
    const body = Buffer.concat(item.map(encode))
    return Buffer.concat([prefix(0xc0, body.length), body])
  }
  if (item.length === 1 && item[0] < 0x80) return item
  return Buffer.concat([prefix(0x80, item.length), item])
}

// Returns [item, end, raw]; a list is an array, `raw` is the item's own encoding.
function take (raw, at = 0) {
  const first = raw[at]
  if (first < 0x80) return [raw.subarray(at, at + 1), at + 1, raw.subarray(at, at + 1)]
  const isList = first >= 0xc0
  const base = isList ? 0xc0 : 0x80
  let start = at + 1
  let size = first - base
  if (size > 55) {
    start += size - 55
    size = raw.readUIntBE(at + 1, size - 55 > 6 ? 6 : size - 55)
  }
  const end = start + size
  if (!isList) return [raw.subarray(start, end), end, raw.subarray(at, end)]
  const items = []
  while (start < end) {
    const [item, next] = take(raw, start)
    items.push(item)
    start = next
  }
  return [items, end, raw.subarray(at, end)]
}

const decode = (raw) => take(raw)[0]
const uint = (bytes) => bytes.length === 0 ? 0 : parseInt(Buffer.from(bytes).toString('hex'), 16)
const hex = (bytes) => '0x' + Buffer.from(bytes).toString('hex')

// --- messages -------------------------------------------------------------------------------------

function frame (kind, body) {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length + 1)
  head[4] = kind
  return Buffer.concat([head, body])
}

// Reads whole messages until `isLast` says that one was the last.
async function receive (stream, isLast) {
  let buffer = Buffer.alloc(0)
  let parts = []
  const messages = []
  for await (const data of stream) {
    buffer = Buffer.concat([buffer, Buffer.from(data.subarray())])
    while (buffer.length >= 5 && buffer.length >= 4 + buffer.readUInt32BE(0)) {
      const end = 4 + buffer.readUInt32BE(0)
      const type = buffer[4]
      parts.push(buffer.subarray(5, end))
      buffer = buffer.subarray(end)
      if (type & MORE) continue
      messages.push({ kind: type, body: Buffer.concat(parts) })
      parts = []
      if (isLast(messages.at(-1))) return messages
    }
  }
  throw new Error('the stream ended before the last message')
}

async function exchange (connection, protocol, message, isLast) {
  const stream = await connection.newStream(protocol)
  const answer = receive(stream, isLast)
  stream.send(message)
  await stream.close()
  return await answer
}

async function readStatus (connection, chainId, genesis) {
  const zero = Buffer.alloc(32)
  const ours = [number(1), number(chainId), genesis, number(0), genesis, number(0), zero.subarray(0, 0), zero.subarray(0, 0)]
  const [answer] = await exchange(connection, '/qenex/status/1', frame(STATUS, encode(ours)), () => true)
  const [version, chain, theirs, height, head, , validator] = decode(answer.body)
  return {
    version: uint(version),
    chainId: uint(chain),
    genesis: hex(theirs),
    height: uint(height),
    head: hex(head),
    validator: hex(validator)
  }
}

async function fetchBlock (connection, height) {
  const wanted = frame(GET_BLOCKS, encode([number(height), number(1)]))
  const messages = await exchange(connection, '/qenex/sync/1', wanted, (each) => each.kind !== ITEM)
  if (messages.at(-1).kind !== END) throw new Error(`refused: ${messages.at(-1).body}`)
  const [block, certificate] = decode(messages[0].body)
  const headerAt = block[0] > 0xf7 ? 1 + block[0] - 0xf7 : 1
  const [header, , raw] = take(block, headerAt)
  const [decided, , blockHash, signatures] = decode(certificate)
  return {
    height: uint(header[8]),
    hash: hex(keccak_256(raw)),
    stateRoot: hex(header[3]),
    certified: { height: uint(decided), hash: hex(blockHash), signatures: signatures.length }
  }
}

// --- main -----------------------------------------------------------------------------------------

const { values } = parseArgs({
  options: {
    to: { type: 'string' },
    seed: { type: 'string' },
    'chain-id': { type: 'string' },
    genesis: { type: 'string' },
    height: { type: 'string', default: '1' }
  }
})

const overdue = setTimeout(() => { console.error('too late'); process.exit(3) }, 1000 * SECONDS_MAX)
const node = await createLibp2p({
  privateKey: await generateKeyPairFromSeed('Ed25519', Buffer.from(values.seed, 'hex')),
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify({ runOnConnectionOpen: false }), ping: ping() }
})
const facts = { peerId: node.peerId.toString() }
try {
  const connection = await node.dial(multiaddr(values.to))
  facts.status = await readStatus(connection, Number(values['chain-id']), Buffer.from(values.genesis.slice(2), 'hex'))
  facts.block = await fetchBlock(connection, Number(values.height))
  facts.pingMs = await node.services.ping.ping(connection.remotePeer)
  const who = await node.services.identify.identify(connection)
  facts.agent = who.agentVersion
  facts.protocols = who.protocols
} catch (error) {
  facts.refused = error.message
}
console.log(JSON.stringify(facts))
clearTimeout(overdue)
await node.stop()
process.exit(facts.refused === undefined ? 0 : 1)
