/**
 * Universal Sentence Encoder Lite (Cer et al., "Universal Sentence Encoder", arXiv 1803.11175; Apache-2.0): a frozen encoder of short English texts, 512
 * values of length 1. Nothing of it is fitted here.
 *
 * The package holds a TensorFlow.js graph; it is converted once (tfjs.ts) and the ONNX file is kept with its digest.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Session } from '@lethe/runtime';
import { bytesOf, concatBytes, hex, sha256, utf8 } from '@lethe/std';
import type { Tensor } from '@lethe/tensor';
import { readDerived, sourceDigest, writeDerived } from '../derived.ts';
import { DATASETS } from '../errors.ts';
import { DATA_ROOT, dataDirectory } from '../pinned.ts';
import { convertTfjs, type TfjsNode } from './tfjs.ts';
import { readTfjsWeights, type TfjsWeight } from './tfjs-weights.ts';
import { UseTokenizer, type Vocabulary } from './use-tokens.ts';

/** Values of an embedding. */
export const USE_WIDTH = 512;
/** Pieces of a text that count; the graph itself drops those behind. */
export const USE_PIECES = 128;

const OUTPUT = 'module_apply_default/Encoder_en/hidden_layers/l2_normalize';
const INPUTS = [
  { name: 'indices', dtype: 'int64', shape: [USE_PIECES, 2] },
  { name: 'values', dtype: 'int64', shape: [USE_PIECES] },
] as const;
const EMBEDDING = { name: 'embedding', dtype: 'float32', shape: [1, USE_WIDTH] } as const;

interface TfjsModel {
  readonly modelTopology: { readonly node: readonly TfjsNode[] };
  readonly weightsManifest: readonly {
    readonly paths: readonly string[];
    readonly weights: readonly TfjsWeight[];
  }[];
}

/** The encoder as ONNX; converted at the first call (about a second) and kept. @throws LETHE-2310 not fetched  @throws LETHE-2320 */
export function useModel(root = DATA_ROOT): Uint8Array {
  const folder = join(dataDirectory('use', root), 'model');
  const recipe = { format: 'lethe-use-onnx-v1', pieces: USE_PIECES, source: sourceDigest('use', root) };
  return readDerived('use.onnx', recipe, root) ?? writeDerived('use.onnx', recipe, convert(folder), root);
}

function convert(folder: string): Uint8Array {
  // The digests in the receipt say that these are the pinned files, so their form is known.
  const model = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8')) as TfjsModel;
  const weights = model.weightsManifest.flatMap(({ paths, weights: group }) => [
    ...readTfjsWeights(group, concatBytes(...paths.map((path) => readFileSync(join(folder, path))))),
  ]);
  return convertTfjs({
    nodes: model.modelTopology.node,
    weights: new Map<string, Tensor>(weights),
    inputs: INPUTS,
    output: { node: OUTPUT, ...EMBEDDING },
  });
}

/** Embeds texts one by one, so that an embedding depends on its own text alone and not on what else was asked in the same batch. */
export class UseEncoder {
  readonly #session: Session;
  readonly #tokenizer: UseTokenizer;

  private constructor(session: Session, tokenizer: UseTokenizer) {
    this.#session = session;
    this.#tokenizer = tokenizer;
  }

  /** @throws LETHE-2310 the data set `use` is not fetched */
  static async load(root = DATA_ROOT): Promise<UseEncoder> {
    const bytes = useModel(root);
    const vocabulary = readFileSync(join(dataDirectory('use', root), 'model', 'vocab.json'), 'utf8');
    const session = await Session.create(
      { bytes, inputs: INPUTS, outputs: [EMBEDDING], examples: [] },
      { deterministic: true },
    );
    return new UseEncoder(session, new UseTokenizer(JSON.parse(vocabulary) as Vocabulary));
  }

  /**
   * @param texts short English texts; pieces after the 128th do not count
   * @returns [n, 512], each row of length 1; equal bytes for equal texts on one machine  @throws LETHE-2321 a text is empty
   */
  async embed(texts: readonly string[]): Promise<Float32Array> {
    const out = new Float32Array(texts.length * USE_WIDTH);
    for (const [row, text] of texts.entries()) {
      const pieces = this.#tokenizer.encode(text);
      if (pieces.length === 0) throw DATASETS.TEXT_EMPTY(`text ${row} of ${texts.length} is empty`);
      const { embedding } = await this.#session.run(useInputs(pieces));
      out.set(embedding!.data as Float32Array, row * USE_WIDTH);
    }
    return out;
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

/**
 * Embeddings of a list of texts, computed once and kept under a name. @param file name of the kept file, such as `phosphor-text`
 * @returns [n, 512] as `embed` gives it on the machine that computed it  @throws as `UseEncoder.load` and `embed`
 */
export async function keptEmbeddings(
  file: string,
  texts: readonly string[],
  root = DATA_ROOT,
): Promise<Float32Array> {
  const recipe = {
    format: 'lethe-use-embeddings-v1',
    source: sourceDigest('use', root),
    texts: hex(sha256(utf8(JSON.stringify(texts)))),
  };
  const kept = readDerived(`${file}.f32`, recipe, root);
  if (kept) return new Float32Array(kept.slice().buffer);
  const encoder = await UseEncoder.load(root);
  try {
    const embeddings = await encoder.embed(texts);
    writeDerived(`${file}.f32`, recipe, bytesOf(embeddings), root);
    return embeddings;
  } finally {
    await encoder.close();
  }
}

/** [1512, 512]: name and tags of every Phosphor icon; 4 s at the first call. */
export const phosphorTexts = (
  icons: readonly { readonly text: string }[],
  root = DATA_ROOT,
): Promise<Float32Array> =>
  keptEmbeddings(
    'phosphor-text',
    icons.map(({ text }) => text),
    root,
  );

/** [1906, 512]: name and tags of every emoji. */
export const emojiTexts = (
  emoji: readonly { readonly text: string }[],
  root = DATA_ROOT,
): Promise<Float32Array> =>
  keptEmbeddings(
    'emoji-text',
    emoji.map(({ text }) => text),
    root,
  );

/**
 * Pieces as the sparse matrix that the graph takes, always of 128 entries. What is left over lies in column 128, which the graph drops before it does anything
 * else: the result is that of the text without filling.
 */
export function useInputs(pieces: readonly number[]): Record<'indices' | 'values', Tensor> {
  const indices = new BigInt64Array(2 * USE_PIECES);
  const values = new BigInt64Array(USE_PIECES);
  for (let i = 0; i < USE_PIECES; i++) {
    const piece = pieces[i];
    indices[2 * i + 1] = BigInt(piece === undefined ? USE_PIECES : i);
    values[i] = BigInt(piece ?? 0);
  }
  return {
    indices: { dtype: 'int64', shape: INPUTS[0].shape, data: indices },
    values: { dtype: 'int64', shape: INPUTS[1].shape, data: values },
  };
}
