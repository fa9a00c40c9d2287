// Decodes calls, results and events by the signatures that the node knows.
// Source: Solidity, "Contract ABI Specification". Every offset and length is checked against the
// data, and the nesting and the number of values are bounded: data may be made to do harm.

const WORD = 32;
const VALUES_MAX = 2_000;
const NESTING_MAX = 8;

class Reader {
  constructor(hex) {
    this.bytes = new Uint8Array((hex.length - 2) / 2);
    for (let at = 0; at < this.bytes.length; at += 1) {
      this.bytes[at] = Number.parseInt(hex.slice(2 + 2 * at, 4 + 2 * at), 16);
    }
    this.left = VALUES_MAX;
  }

  slice(at, size) {
    if (at < 0 || size < 0 || at + size > this.bytes.length) throw new RangeError("short data");
    return this.bytes.subarray(at, at + size);
  }

  word(at) {
    return BigInt(`0x${toHex(this.slice(at, WORD))}`);
  }

  length(at) {
    const value = this.word(at);
    if (value > BigInt(this.bytes.length)) throw new RangeError("a length beyond the data");
    return Number(value);
  }
}

const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

const ARRAY = /^(.*)\[(\d*)\]$/;

function isDynamic(parameter) {
  const array = ARRAY.exec(parameter.type);
  if (array) return array[2] === "" || isDynamic({ ...parameter, type: array[1] });
  if (parameter.type === "tuple") return parameter.components.some(isDynamic);
  return parameter.type === "bytes" || parameter.type === "string";
}

function headSize(parameter) {
  if (isDynamic(parameter)) return WORD;
  const array = ARRAY.exec(parameter.type);
  if (array) return Number(array[2]) * headSize({ ...parameter, type: array[1] });
  if (parameter.type !== "tuple") return WORD;
  return parameter.components.reduce((size, each) => size + headSize(each), 0);
}

function decodeList(reader, parameters, start, nesting) {
  let at = start;
  return parameters.map((parameter) => {
    const place = isDynamic(parameter) ? start + reader.length(at) : at;
    at += headSize(parameter);
    const value = decode(reader, parameter, place, nesting);
    return { name: parameter.name, type: parameter.type, value };
  });
}

function decode(reader, parameter, at, nesting) {
  reader.left -= 1;
  if (reader.left < 0 || nesting > NESTING_MAX) throw new RangeError("too many values");
  const array = ARRAY.exec(parameter.type);
  if (array) {
    const dynamic = array[2] === "";
    const count = dynamic ? reader.length(at) : Number(array[2]);
    if (count > VALUES_MAX) throw new RangeError("too many values");
    const items = Array.from({ length: count }, (_, index) => (
      { ...parameter, name: String(index), type: array[1] }
    ));
    return decodeList(reader, items, dynamic ? at + WORD : at, nesting + 1);
  }
  if (parameter.type === "tuple") {
    return decodeList(reader, parameter.components, at, nesting + 1);
  }
  return decodeWord(reader, parameter.type, at);
}

function decodeWord(reader, type, at) {
  if (type === "bytes" || type === "string") {
    const raw = reader.slice(at + WORD, reader.length(at));
    return type === "bytes" ? `0x${toHex(raw)}` : new TextDecoder().decode(raw);
  }
  const value = reader.word(at);
  if (type === "address") return `0x${toHex(reader.slice(at + 12, 20))}`;
  if (type === "bool") return value !== 0n;
  if (type.startsWith("bytes")) return `0x${toHex(reader.slice(at, Number(type.slice(5))))}`;
  if (type.startsWith("int")) return BigInt.asIntN(Number(type.slice(3) || 256), value);
  return value;
}

// Decoded values, or null where the data does not fit the types.
export function decodeValues(parameters, hex) {
  try {
    return decodeList(new Reader(hex), parameters, 0, 0);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

export function decodeCall(signatures, input) {
  if (input.length < 10) return null;
  const found = signatures.functions[input.slice(0, 10).toLowerCase()];
  const values = found && decodeValues(found.inputs, `0x${input.slice(10)}`);
  return values ? { name: found.name, values } : null;
}

export function decodeError(signatures, output) {
  if (!output || output.length < 10) return null;
  const found = signatures.errors[output.slice(0, 10).toLowerCase()];
  const values = found && decodeValues(found.inputs, `0x${output.slice(10)}`);
  return values ? { name: found.name, values } : null;
}

// Indexed parameters of dynamic types are only there as hashes and are shown as such.
export function decodeLog(signatures, log) {
  const variants = signatures.events[log.topics[0]?.toLowerCase()] ?? [];
  for (const event of variants) {
    const indexed = event.inputs.filter((each) => each.indexed);
    if (indexed.length !== log.topics.length - 1) continue;
    const values = decodeValues(event.inputs.filter((each) => !each.indexed), log.data);
    if (values === null) continue;
    const topics = log.topics.slice(1).map((topic, index) => topicValue(indexed[index], topic));
    const rest = values[Symbol.iterator]();
    const inOrder = event.inputs.map((each) => (
      each.indexed ? topics.shift() : rest.next().value
    ));
    return { name: event.name, values: inOrder };
  }
  return null;
}

function topicValue(parameter, topic) {
  const isHash = isDynamic(parameter) || parameter.type === "tuple" || ARRAY.test(parameter.type);
  const value = isHash ? topic : decodeWord(new Reader(topic), parameter.type, 0);
  return { name: parameter.name, type: isHash ? "hash" : parameter.type, value };
}
