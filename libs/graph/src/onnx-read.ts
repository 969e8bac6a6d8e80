import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { LetheError } from '@lethe/std';
import { type DataOf, type DType, type Shape, shapeText, type Tensor, tensor } from '@lethe/tensor';
import { GRAPH } from './errors.ts';
import type { Attribute } from './onnx.ts';

/**
 * A strict reader of ONNX files (ModelProto and TensorProto of onnx.proto, IR version 3 on), for files that others wrote.
 *
 * Strict: a known field of another wire type, a group, a truncated message, data that does not fill its tensor, and everything
 * whose meaning we would have to guess (external and sparse tensors, segments) is refused by name. Unknown fields are skipped, as
 * protobuf asks of a reader, so that files of later versions stay readable.
 * Bounded: nothing is allocated by a length that the file states before that many bytes are known to be there; the result is at
 * most eight times the file (int64 values stored as varints).
 */

/** TensorProto.DataType: name and bits of an element; 0 bits for text. */
const ELEMENTS = {
  1: ['float32', 32],
  2: ['uint8', 8],
  3: ['int8', 8],
  4: ['uint16', 16],
  5: ['int16', 16],
  6: ['int32', 32],
  7: ['int64', 64],
  8: ['string', 0],
  9: ['bool', 8],
  10: ['float16', 16],
  11: ['float64', 64],
  12: ['uint32', 32],
  13: ['uint64', 64],
  14: ['complex64', 64],
  15: ['complex128', 128],
  16: ['bfloat16', 16],
  17: ['float8e4m3fn', 8],
  18: ['float8e4m3fnuz', 8],
  19: ['float8e5m2', 8],
  20: ['float8e5m2fnuz', 8],
  21: ['uint4', 4],
  22: ['int4', 4],
  23: ['float4e2m1', 4],
} as const;

/** Element types that ONNX knows; those of `DType` and a few integers become tensors (see `tensorOf`). */
export type OnnxElement = (typeof ELEMENTS)[keyof typeof ELEMENTS][0];

/** A tensor as the file holds it. */
export interface StoredTensor {
  readonly name: string;
  readonly element: OnnxElement;
  readonly shape: Shape;
  /** Little-endian elements, row-major; empty for text, which is not read. Part of the file's memory where it can be. */
  readonly data: Uint8Array;
}

/** A size, the name of a size that is known only when the model runs, or undefined where the file says nothing. */
export type Dimension = number | string | undefined;

/** An input, an output or a value in between. */
export interface ReadPort {
  readonly name: string;
  /** Undefined for sequences, maps and optional values. */
  readonly element: OnnxElement | undefined;
  /** Undefined where the file does not say it. */
  readonly shape: readonly Dimension[] | undefined;
}

/** What an attribute holds; `graph` and `unread` say only that there is one. */
export type ReadAttribute =
  | Attribute
  | { readonly tensor: StoredTensor }
  | { readonly graph: ReadGraph }
  | { readonly unread: string };

export interface ReadNode {
  readonly name: string;
  readonly type: string;
  /** '' for the standard operators. */
  readonly domain: string;
  /** '' where an optional input is absent. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, ReadAttribute>>;
}

export interface ReadGraph {
  readonly name: string;
  readonly nodes: readonly ReadNode[];
  readonly initializers: readonly StoredTensor[];
  readonly inputs: readonly ReadPort[];
  readonly outputs: readonly ReadPort[];
  /** Shapes of values in between, where the file states them. */
  readonly values: readonly ReadPort[];
}

export interface ReadModel {
  readonly irVersion: number;
  readonly producer: string;
  readonly documentation: string;
  /** Operator set version by domain; '' is the standard one. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Names of functions that the model defines itself. */
  readonly functions: readonly string[];
  readonly graph: ReadGraph;
}

/** Graphs in graphs (branches, loop bodies). */
const DEPTH_MAX = 16;

/** Elements of one input, output or value. A stored tensor's are bounded by its bytes; these are a file's word alone, and later allocations follow them. */
const ELEMENTS_MAX = 2 ** 31;

const malformed = (where: string, what: string, cause?: unknown): Error =>
  GRAPH.ONNX_MALFORMED(`this is not an ONNX model: ${where} ${what}`, {
    details: { where },
    ...(cause === undefined ? {} : { cause }),
  });
const unsupported = (where: string, what: string): Error =>
  GRAPH.ONNX_UNSUPPORTED(`${where} ${what}`, { details: { where } });

/** @throws LETHE-3027 the sizes that are known come to more elements than a tensor may have */
export function requireSize(where: string, shape: readonly Dimension[]): void {
  const count = shape.reduce<number>((product, size) => product * (typeof size === 'number' ? size : 1), 1);
  if (count > ELEMENTS_MAX) {
    throw unsupported(
      where,
      `has ${count} elements, more than the ${ELEMENTS_MAX} of the largest tensor here`,
    );
  }
}

/** One field of a message: its wire type was checked against what the reader asks of it. */
interface Field {
  readonly where: string;
  readonly wire: WireType;
  /** The varint, or the bytes of any other field without their length. */
  readonly integer: bigint;
  readonly bytes: Uint8Array;
}

type Handlers = Readonly<Record<number, (field: Field) => void>>;

const NO_BYTES = new Uint8Array();

/** Calls the handler of each field. Only the wire library's own errors are taken for damage of the file. */
function fields(bytes: Uint8Array, where: string, handlers: Handlers): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    let number: number;
    let field: Field;
    try {
      const [at, wire] = reader.tag();
      number = at;
      if (wire === WireType.Varint) {
        field = { where, wire, integer: BigInt(reader.int64()), bytes: NO_BYTES };
      } else if (wire === WireType.LengthDelimited) {
        field = { where, wire, integer: 0n, bytes: reader.bytes() };
      } else if (wire === WireType.Bit32 || wire === WireType.Bit64) {
        field = { where, wire, integer: 0n, bytes: reader.skip(wire) };
      } else {
        throw malformed(where, `has a group at field ${number}, which ONNX never uses`);
      }
    } catch (error) {
      if (error instanceof LetheError) throw error;
      throw malformed(where, `is damaged or truncated at byte ${reader.pos} of ${reader.len}`, error);
    }
    handlers[number]?.(field);
  }
}

function expect(field: Field, wire: WireType): void {
  if (field.wire !== wire)
    throw malformed(field.where, `has a field of wire type ${field.wire} instead of ${wire}`);
}

function message(field: Field, where: string, handlers: Handlers): void {
  expect(field, WireType.LengthDelimited);
  fields(field.bytes, where, handlers);
}

function safe(field: Field, value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw malformed(field.where, `has the integer ${value}`);
  return number;
}

function integer(field: Field): number {
  expect(field, WireType.Varint);
  return safe(field, field.integer);
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function text(field: Field): string {
  expect(field, WireType.LengthDelimited);
  try {
    return UTF8.decode(field.bytes);
  } catch (cause) {
    throw malformed(field.where, 'has text that is not UTF-8', cause);
  }
}

/** Integers of a repeated field, packed or one by one. */
function integers(field: Field): bigint[] {
  if (field.wire === WireType.Varint) return [field.integer];
  expect(field, WireType.LengthDelimited);
  const reader = new BinaryReader(field.bytes);
  const out: bigint[] = [];
  try {
    while (reader.pos < reader.len) out.push(BigInt(reader.int64()));
  } catch (cause) {
    throw malformed(field.where, 'has damaged packed integers', cause);
  }
  return out;
}

/** Little-endian bytes of a repeated fixed-width field, packed or one by one. */
function fixed(field: Field, width: 4 | 8): Uint8Array {
  if (field.wire !== WireType.LengthDelimited) expect(field, width === 4 ? WireType.Bit32 : WireType.Bit64);
  if (field.bytes.length % width !== 0) throw malformed(field.where, 'has a cut packed field');
  return field.bytes;
}

const floats = (field: Field): number[] => {
  const bytes = fixed(field, 4);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
};

function elementOf(field: Field): OnnxElement {
  const number = integer(field);
  if (!Object.hasOwn(ELEMENTS, number))
    throw unsupported(field.where, `has the unknown element type ${number}`);
  return ELEMENTS[number as keyof typeof ELEMENTS][0];
}

/** Bits of one element; 0 for text. */
export const bitsOf = (element: OnnxElement): number =>
  Object.values(ELEMENTS).find(([name]) => name === element)?.[1] ?? 0;

/** One part as it is, or all of them in a row. (Not as arguments: a damaged file may have more parts than a call takes.) */
function join(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Integers as little-endian elements of `bits` bits each. */
function packed(values: readonly bigint[], bits: number): Uint8Array {
  const width = bits / 8;
  const out = new Uint8Array(values.length * width);
  const view = new DataView(out.buffer);
  values.forEach((value, i) => {
    if (width === 8) view.setBigUint64(i * 8, BigInt.asUintN(64, value), true);
    else if (width === 4) view.setUint32(i * 4, Number(BigInt.asUintN(32, value)), true);
    else if (width === 2) view.setUint16(i * 2, Number(BigInt.asUintN(16, value)), true);
    else out[i] = Number(BigInt.asUintN(8, value));
  });
  return out;
}

function storedTensor(bytes: Uint8Array, where: string): StoredTensor {
  let name = '';
  let element: OnnxElement | undefined;
  const shape: number[] = [];
  const raw: Uint8Array[] = [];
  const singles: Uint8Array[] = [];
  const doubles: Uint8Array[] = [];
  const whole: bigint[] = [];
  const refused = (what: string) => (field: Field) => {
    throw unsupported(field.where, what);
  };
  const collect = (field: Field): void => {
    for (const value of integers(field)) whole.push(value);
  };
  fields(bytes, where, {
    1: (field) => {
      for (const size of integers(field)) shape.push(safe(field, size));
    },
    2: (field) => {
      element = elementOf(field);
    },
    3: refused('is one segment of a larger tensor'),
    4: (field) => singles.push(fixed(field, 4)),
    5: collect,
    7: collect,
    8: (field) => {
      name = text(field);
    },
    9: (field) => {
      expect(field, WireType.LengthDelimited);
      raw.push(field.bytes);
    },
    10: (field) => doubles.push(fixed(field, 8)),
    11: collect,
    13: refused('keeps its data in another file (external data)'),
    14: (field) => {
      if (integer(field) !== 0) refused('keeps its data in another file (external data)')(field);
    },
  });
  const called = name === '' ? where : `${where} ${name}`;
  if (!element) throw malformed(called, 'has no element type');
  if (element === 'string') return { name, element, shape, data: NO_BYTES };
  const bits = bitsOf(element);
  const stores = [raw, singles, doubles, whole].filter((store) => store.length > 0);
  if (stores.length > 1) throw malformed(called, 'stores its data twice');
  if (whole.length > 0 && (bits < 8 || bits > 64 || element.startsWith('complex'))) {
    throw unsupported(called, `stores ${element} as integers`);
  }
  const data = whole.length > 0 ? packed(whole, bits) : join([raw, singles, doubles].flat());
  const count = shape.reduce((product, size) => product * size, 1);
  const expected = Math.ceil((count * bits) / 8);
  if (shape.some((size) => size < 0) || data.length !== expected) {
    throw malformed(called, `has ${data.length} bytes, ${element} ${shapeText(shape)} needs ${expected}`);
  }
  return { name, element, shape, data };
}

/**
 * Reads one TensorProto: the input and output files of ONNX' own tests.
 * @throws LETHE-3026, LETHE-3027
 */
export const readOnnxTensor = (bytes: Uint8Array): StoredTensor => storedTensor(bytes, 'the tensor');

/** Integers that become int64: the same numbers in a wider type. */
const WIDENED: Readonly<Partial<Record<OnnxElement, (view: DataView, at: number) => number>>> = {
  int32: (view, at) => view.getInt32(at, true),
  int16: (view, at) => view.getInt16(at, true),
  int8: (view, at) => view.getInt8(at),
  uint8: (view, at) => view.getUint8(at),
  uint16: (view, at) => view.getUint16(at, true),
  uint32: (view, at) => view.getUint32(at, true),
};

/** The dtype that holds an element, integers of other widths widened to int64; undefined where none does. */
export function dtypeOf(element: OnnxElement | undefined): DType | undefined {
  if (element === 'float32' || element === 'float64' || element === 'int64' || element === 'bool')
    return element;
  return element !== undefined && WIDENED[element] ? 'int64' : undefined;
}

/** A copy of the stored elements. @throws LETHE-3027 no dtype holds them */
export function tensorOf({ name, element, shape, data }: StoredTensor): Tensor {
  const dtype = dtypeOf(element);
  if (!dtype) {
    throw unsupported(
      `tensor ${name}`,
      `is ${element}, which has no place in a graph here: convert it to float32`,
    );
  }
  // A copy starts at byte 0 of its own memory, so it is aligned for every dtype. (Buffer's slice would not copy.)
  const { buffer } = new Uint8Array(data);
  const make: { [K in DType]: () => DataOf[K] } = {
    float32: () => new Float32Array(buffer),
    float64: () => new Float64Array(buffer),
    int64: () => {
      const get = WIDENED[element];
      if (!get) return new BigInt64Array(buffer);
      const width = bitsOf(element) / 8;
      const view = new DataView(buffer);
      return BigInt64Array.from({ length: data.length / width }, (_, i) => BigInt(get(view, i * width)));
    },
    bool: () => new Uint8Array(buffer),
  };
  return tensor(dtype, shape, make[dtype](), name);
}

function dimension(field: Field): Dimension {
  let size: Dimension;
  message(field, field.where, {
    1: (value) => {
      size = integer(value);
      if (size < 0) throw malformed(value.where, `has a dimension of ${size}`);
    },
    2: (value) => {
      size = text(value) || undefined;
    },
  });
  return size;
}

function readPort(field: Field, kind: string): ReadPort {
  let name = '';
  let element: OnnxElement | undefined;
  let shape: Dimension[] | undefined;
  message(field, kind, {
    1: (value) => {
      name = text(value);
    },
    2: (type) =>
      message(type, `${kind} ${name}`, {
        1: (dense) =>
          message(dense, `${kind} ${name}`, {
            1: (value) => {
              element = elementOf(value);
            },
            2: (sizes) => {
              const found: Dimension[] = [];
              shape = found;
              message(sizes, `${kind} ${name}`, { 1: (value) => found.push(dimension(value)) });
            },
          }),
      }),
  });
  if (shape) requireSize(`${kind} ${name}`, shape);
  return { name, element, shape };
}

function attribute(field: Field, depth: number): [string, ReadAttribute] {
  let name = '';
  let type = 0;
  let float = 0;
  let int = 0n;
  let string = '';
  let stored: StoredTensor | undefined;
  let graph: ReadGraph | undefined;
  const manyFloats: number[] = [];
  const ints: bigint[] = [];
  const strings: string[] = [];
  const { where } = field;
  message(field, where, {
    1: (value) => {
      name = text(value);
    },
    2: (value) => {
      float = floats(value)[0] ?? 0;
    },
    3: (value) => {
      expect(value, WireType.Varint);
      int = value.integer;
    },
    4: (value) => {
      string = text(value);
    },
    5: (value) => {
      expect(value, WireType.LengthDelimited);
      stored = storedTensor(value.bytes, `attribute ${name} of ${where}`);
    },
    6: (value) => {
      graph = readGraph(value, depth + 1);
    },
    7: (value) => {
      for (const item of floats(value)) manyFloats.push(item);
    },
    8: (value) => {
      for (const item of integers(value)) ints.push(item);
    },
    9: (value) => strings.push(text(value)),
    20: (value) => {
      type = integer(value);
    },
  });
  if (name === '') throw malformed(where, 'has an attribute without a name');
  const number = (value: bigint): number => safe(field, value);
  // AttributeProto.AttributeType.
  if (type === 1) return [name, { float }];
  if (type === 2) return [name, { int: number(int) }];
  if (type === 3) return [name, { string }];
  if (type === 4 && stored) return [name, { tensor: stored }];
  if (type === 5 && graph) return [name, { graph }];
  if (type === 6) return [name, { floats: manyFloats }];
  if (type === 7) return [name, { ints: ints.map(number) }];
  if (type === 8) return [name, { strings }];
  return [name, { unread: `attribute type ${type}` }];
}

function readNode(field: Field, depth: number): ReadNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes: Record<string, ReadAttribute> = Object.create(null);
  let name = '';
  let type = '';
  let domain = '';
  const inner: Field[] = [];
  message(field, 'a node', {
    1: (value) => inputs.push(text(value)),
    2: (value) => outputs.push(text(value)),
    3: (value) => {
      name = text(value);
    },
    4: (value) => {
      type = text(value);
    },
    5: (value) => inner.push(value),
    7: (value) => {
      domain = text(value);
    },
  });
  if (type === '') throw malformed(`node ${name || outputs[0] || ''}`, 'has no operator');
  const where = `node ${name || outputs[0] || ''} (${type})`;
  for (const item of inner) {
    const [key, value] = attribute({ ...item, where }, depth);
    if (Object.hasOwn(attributes, key)) throw malformed(where, `has two attributes ${key}`);
    attributes[key] = value;
  }
  return { name, type, domain: domain === 'ai.onnx' ? '' : domain, inputs, outputs, attributes };
}

function readGraph(field: Field, depth: number): ReadGraph {
  if (depth > DEPTH_MAX) throw unsupported('a graph', `is nested deeper than ${DEPTH_MAX}`);
  let name = '';
  const nodes: ReadNode[] = [];
  const initializers: StoredTensor[] = [];
  const inputs: ReadPort[] = [];
  const outputs: ReadPort[] = [];
  const values: ReadPort[] = [];
  message(field, 'the graph', {
    1: (value) => nodes.push(readNode(value, depth)),
    2: (value) => {
      name = text(value);
    },
    5: (value) => {
      expect(value, WireType.LengthDelimited);
      initializers.push(storedTensor(value.bytes, 'initializer'));
    },
    11: (value) => inputs.push(readPort(value, 'input')),
    12: (value) => outputs.push(readPort(value, 'output')),
    13: (value) => values.push(readPort(value, 'value')),
    15: (value) => {
      throw unsupported(value.where, 'has sparse initializers');
    },
  });
  return { name, nodes, initializers, inputs, outputs, values };
}

/** The two texts of a StringStringEntryProto. */
function entry(field: Field): [string, string] {
  let key = '';
  let value = '';
  message(field, 'metadata', {
    1: (part) => {
      key = text(part);
    },
    2: (part) => {
      value = text(part);
    },
  });
  return [key, value];
}

/**
 * Reads the bytes of an ONNX file. Tensors share the file's memory where they can.
 * @throws LETHE-3026 not an ONNX model, damaged or truncated; LETHE-3027 external, sparse or segmented tensors, an unknown element type
 */
export function readOnnx(bytes: Uint8Array): ReadModel {
  let irVersion = 0;
  let producer = '';
  let documentation = '';
  let graph: ReadGraph | undefined;
  const opsets: Record<string, number> = Object.create(null);
  const metadata: Record<string, string> = Object.create(null);
  const functions: string[] = [];
  fields(bytes, 'the file', {
    1: (field) => {
      irVersion = integer(field);
    },
    2: (field) => {
      producer = text(field);
    },
    6: (field) => {
      documentation = text(field);
    },
    7: (field) => {
      if (graph) throw malformed('the file', 'has two graphs');
      graph = readGraph(field, 0);
    },
    8: (field) => {
      let domain = '';
      let version = 0;
      message(field, 'an operator set', {
        1: (value) => {
          domain = text(value);
        },
        2: (value) => {
          version = integer(value);
        },
      });
      opsets[domain === 'ai.onnx' ? '' : domain] = version;
    },
    14: (field) => {
      const [key, value] = entry(field);
      metadata[key] = value;
    },
    25: (field) =>
      message(field, 'a function', {
        1: (value) => functions.push(text(value)),
      }),
  });
  if (!graph) throw malformed('the file', 'has no graph');
  if (irVersion < 1) throw malformed('the file', 'has no IR version');
  if (Object.keys(opsets).length === 0) throw malformed('the file', 'names no operator set');
  return { irVersion, producer, documentation, opsets, metadata, functions, graph };
}
