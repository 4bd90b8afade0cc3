// Bytes that made other implementations crash, hang or eat memory; each is the payload of a sync or awareness message.

import * as encoding from 'lib0/encoding'

const bytes = (...parts) => Uint8Array.from(parts.flat(Infinity))
const varUint = number => [...encoding.encode(encoder => encoding.writeVarUint(encoder, number))]
const string = text => [...encoding.encode(encoder => encoding.writeVarString(encoder, text))]

/** An update of one block by client 1, at the start of the root `text`, and no deletions. */
const block = (ref, ...content) => bytes(1, 1, 1, 0, ref, 1, string('text'), content, 0)

/** Clients 1 to `count`, of which each one's only letter stands behind the next one's. */
function chain (count) {
  const blocks = Array.from({ length: count }, (_, at) => {
    const isLast = at + 1 === count
    const place = isLast ? [0x04, 1, string('text')] : [0x84, varUint(at + 2), 0]
    return [1, varUint(at + 1), 0, place, string('x')]
  })
  return Uint8Array.from([varUint(count), blocks, 0].flat(4))
}

export const HOSTILE = {
  'state vector with a count of 2^32': bytes(0xff, 0xff, 0xff, 0xff, 0x01),
  'update with a count of 2^28': bytes(0xff, 0xff, 0xff, 0x7f),
  'arrays nested 6,200 deep': block(8, 1, Array(6200).fill([117, 1]), 126),
  'arrays nested 100,000 deep': block(8, 1, Array(100_000).fill([117, 1]), 126),
  'maps that claim 2^26 entries each, nested 12 deep': block(8, 1, Array(12).fill([118, varUint(2 ** 26), string('k')]), 126),
  'chain of 18,500 clients': chain(18_500),
  'update that is taken and cannot be encoded afterwards': bytes(1, 1, 0x1e, 0, 2, 0x68, 0x65, 0x3f, 0, 0, 0),
  'awareness that claims 10^8 entries': bytes(varUint(1e8), 1, 1, string('{}')),
  'a string that claims 2^53 - 1 bytes': block(4, varUint(Number.MAX_SAFE_INTEGER)),
  'a GC of 2^53 - 1 blocks': bytes(1, 1, 1, 0, 0, varUint(Number.MAX_SAFE_INTEGER), 0),
  'a clock of 2^53 - 1': bytes(1, 1, 1, varUint(Number.MAX_SAFE_INTEGER), 4, 1, string('text'), string('abc'), 0),
  'a deletion of 2^53 - 1': bytes(0, 1, 1, 1, 0, varUint(Number.MAX_SAFE_INTEGER)),
  'deletions with a count of 2^53 - 1': bytes(0, varUint(Number.MAX_SAFE_INTEGER)),
  'a number that never ends': bytes(Array(100).fill(0xff)),
  'a string that is not UTF-8': block(4, 3, 0xff, 0xfe, 0xfd),
  'a content that does not exist': block(31, 1),
  'a block that is its own origin': bytes(1, 1, 1, 0, 0x84, 1, 0, string('x'), 0),
  'blocks that are each other\'s origin': bytes(2, 1, 1, 0, 0x84, 2, 0, string('x'), 1, 2, 0, 0x84, 1, 0, string('y'), 0),
  'an update with bytes left over': bytes(0, 0, 1, 2, 3),
  'an awareness state that is not JSON': bytes(1, 1, 1, string('{"open')),
  'nothing': bytes()
}
