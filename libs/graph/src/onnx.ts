import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { bytesOf } from '@lethe/std';
import type { DType, Shape, Tensor } from '@lethe/tensor';

/**
 * The few messages of onnx.proto (ONNX IR version 8, operator set 18) that a training step needs, written field by field.
 * Field numbers are those of onnx.proto; a reader of the bytes needs nothing from us.
 */

/** An attribute of a node, told apart by the key that is present. */
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly string: string }
  | { readonly strings: readonly string[] };

export interface OnnxNode {
  readonly type: string;
  /** '' for the standard operators, 'com.microsoft' for ONNX Runtime's own. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface OnnxPort {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** A port of a file: an axis may carry a name instead of a size, or nothing. */
export interface WrittenPort extends Omit<OnnxPort, 'shape'> {
  readonly shape: readonly (number | string | undefined)[];
}

export interface OnnxGraph {
  readonly inputs: readonly WrittenPort[];
  readonly outputs: readonly WrittenPort[];
  readonly constants: readonly { readonly name: string; readonly tensor: Tensor }[];
  readonly nodes: readonly OnnxNode[];
}

/** What a file says about itself. */
export interface OnnxHeader {
  readonly documentation?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Domains whose operators the file uses besides the standard ones, with their versions. */
  readonly domains?: readonly (readonly [string, number])[];
}

const IR_VERSION = 8;
const OPSET = 18;

/** TensorProto.DataType. */
export const ONNX_DTYPE = { float32: 1, float64: 11, int64: 7, bool: 9 } as const satisfies Record<
  DType,
  number
>;

type Write = (writer: BinaryWriter) => void;

const message = (writer: BinaryWriter, field: number, write: Write): void => {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
};
const text = (writer: BinaryWriter, field: number, value: string): void => {
  writer.tag(field, WireType.LengthDelimited).string(value);
};
const integer = (writer: BinaryWriter, field: number, value: number): void => {
  writer.tag(field, WireType.Varint).int64(value);
};

function attribute(writer: BinaryWriter, name: string, value: Attribute): void {
  text(writer, 1, name);
  if ('int' in value) {
    integer(writer, 3, value.int);
    integer(writer, 20, 2);
  } else if ('ints' in value) {
    for (const item of value.ints) integer(writer, 8, item);
    integer(writer, 20, 7);
  } else if ('float' in value) {
    writer.tag(2, WireType.Bit32).float(value.float);
    integer(writer, 20, 1);
  } else if ('floats' in value) {
    for (const item of value.floats) writer.tag(7, WireType.Bit32).float(item);
    integer(writer, 20, 6);
  } else if ('strings' in value) {
    for (const item of value.strings) text(writer, 9, item);
    integer(writer, 20, 8);
  } else {
    text(writer, 4, value.string);
    integer(writer, 20, 3);
  }
}

function node(writer: BinaryWriter, item: OnnxNode): void {
  for (const name of item.inputs) text(writer, 1, name);
  text(writer, 2, item.output);
  text(writer, 3, item.output);
  text(writer, 4, item.type);
  for (const [name, value] of Object.entries(item.attributes)) {
    message(writer, 5, (w) => attribute(w, name, value));
  }
  if (item.domain !== '') text(writer, 7, item.domain);
}

function constant(writer: BinaryWriter, name: string, value: Tensor): void {
  for (const size of value.shape) integer(writer, 1, size);
  integer(writer, 2, ONNX_DTYPE[value.dtype]);
  text(writer, 8, name);
  writer.tag(9, WireType.LengthDelimited).bytes(bytesOf(value.data));
}

function dimension(writer: BinaryWriter, size: number | string | undefined): void {
  if (typeof size === 'number') integer(writer, 1, size);
  else if (size !== undefined) text(writer, 2, size);
}

function port(writer: BinaryWriter, item: WrittenPort): void {
  text(writer, 1, item.name);
  message(writer, 2, (type) => {
    message(type, 1, (tensorType) => {
      integer(tensorType, 1, ONNX_DTYPE[item.dtype]);
      message(tensorType, 2, (shape) => {
        for (const size of item.shape) message(shape, 1, (dim) => dimension(dim, size));
      });
    });
  });
}

/** The bytes of a ModelProto. The same graph gives the same bytes. */
export function encodeModel(graph: OnnxGraph, header: OnnxHeader = {}): Uint8Array {
  const { documentation, metadata = {}, domains = [['com.microsoft', 1]] } = header;
  const writer = new BinaryWriter();
  integer(writer, 1, IR_VERSION);
  text(writer, 2, 'lethe');
  if (documentation !== undefined) text(writer, 6, documentation);
  message(writer, 7, (w) => {
    for (const item of graph.nodes) message(w, 1, (n) => node(n, item));
    text(w, 2, 'lethe');
    for (const item of graph.constants) message(w, 5, (c) => constant(c, item.name, item.tensor));
    for (const item of graph.inputs) message(w, 11, (p) => port(p, item));
    for (const item of graph.outputs) message(w, 12, (p) => port(p, item));
  });
  for (const [domain, version] of [['', OPSET] as const, ...domains]) {
    message(writer, 8, (w) => {
      if (domain !== '') text(w, 1, domain);
      integer(w, 2, version);
    });
  }
  for (const [key, value] of Object.entries(metadata)) {
    message(writer, 14, (w) => {
      text(w, 1, key);
      text(w, 2, value);
    });
  }
  return writer.finish();
}
