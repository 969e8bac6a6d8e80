import { bytesOf, concatBytes, utf8 } from '@lethe/std';
import { elements, float32, type Tensor } from '@lethe/tensor';
import { VERTICAL } from './errors.ts';
import type { Checkpoint } from './trainer.ts';

const MAGIC = 'LETHEVC1';
const HEADER_AT = MAGIC.length + 4;

interface Header {
  readonly stepsCommitted: number;
  readonly tensors: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

/**
 * A checkpoint as bytes: `LETHEVC1`, length of the header (u32, little-endian), the header as JSON, then each tensor's float32 values, little-endian, in the
 * header's order. It is computed from people's rows: seal it, list it in the lineage, destroy it with them.
 */
export function encodeCheckpoint({ tensors, stepsCommitted }: Checkpoint): Uint8Array {
  const named = Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1));
  const header: Header = { stepsCommitted, tensors: named.map(([name, { shape }]) => ({ name, shape })) };
  const json = utf8(JSON.stringify(header));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, json.length, true);
  return concatBytes(utf8(MAGIC), length, json, ...named.map(([, { data }]) => bytesOf(data)));
}

/** @throws LETHE-3507 the bytes are not a whole checkpoint */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const text = (from: number, to: number) => new TextDecoder().decode(bytes.subarray(from, to));
  if (bytes.length < HEADER_AT || text(0, MAGIC.length) !== MAGIC) {
    throw VERTICAL.BAD_CHECKPOINT('the bytes do not begin as a checkpoint does');
  }
  let at = HEADER_AT + new DataView(bytes.buffer, bytes.byteOffset).getUint32(MAGIC.length, true);
  let header: Header;
  try {
    header = JSON.parse(text(HEADER_AT, at)) as Header;
  } catch (cause) {
    throw VERTICAL.BAD_CHECKPOINT('the checkpoint’s header cannot be read', { cause });
  }
  const tensors: Record<string, Tensor<'float32'>> = {};
  for (const { name, shape } of header.tensors) {
    const end = at + 4 * elements(shape);
    if (end > bytes.length) break;
    tensors[name] = float32(shape, new Float32Array(bytes.slice(at, end).buffer));
    at = end;
  }
  if (at !== bytes.length || Object.keys(tensors).length !== header.tensors.length) {
    throw VERTICAL.BAD_CHECKPOINT('the checkpoint’s length is not what its header says');
  }
  return { tensors, stepsCommitted: header.stepsCommitted };
}
