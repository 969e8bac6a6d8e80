/**
 * Bytes of a header and of sets of weights of one shape:
 *
 *     length of the JSON (u32, little endian) | canonical JSON { header, layout: [{ name, shape }], count } | float32 values
 */

import type { Tensors } from '@lethe/runtime';
import { assert, bytesOf, canonicalJson, concatBytes, utf8 } from '@lethe/std';
import { elements, float32 } from '@lethe/tensor';

interface Layout {
  readonly name: string;
  readonly shape: readonly number[];
}

export function encodeWeights(header: unknown, sets: readonly Tensors[]): Uint8Array {
  const layout = Object.entries(sets[0] ?? {}).map(([name, { shape }]) => ({ name, shape: [...shape] }));
  const text = utf8(canonicalJson({ header, layout, count: sets.length }));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, text.length, true);
  const values = sets.flatMap((set) => layout.map(({ name }) => bytesOf(set[name]!.data)));
  return concatBytes(length, text, ...values);
}

export function decodeWeights<Header>(bytes: Uint8Array): { header: Header; sets: Tensors[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const textEnd = 4 + view.getUint32(0, true);
  const { header, layout, count } = JSON.parse(new TextDecoder().decode(bytes.subarray(4, textEnd))) as {
    header: Header;
    layout: Layout[];
    count: number;
  };
  let at = textEnd;
  const sets = Array.from({ length: count }, () =>
    Object.fromEntries(
      layout.map(({ name, shape }) => {
        const data = new Float32Array(elements(shape));
        bytesOf(data).set(bytes.subarray(at, at + data.byteLength));
        at += data.byteLength;
        return [name, float32(shape, data)];
      }),
    ),
  );
  assert(at === bytes.length, 'stored weights have the length that their header says');
  return { header, sets };
}
