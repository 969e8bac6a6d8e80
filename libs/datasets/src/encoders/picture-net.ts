/**
 * A small convolutional network that puts pictures where their names are: trained here, on emoji, to point at the text encoder's embedding of
 * their name (contrastively, as Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021, with a
 * frozen text side). It is meant as a frozen encoder of other sets' pictures: no class, picture or split of those is seen.
 *
 * 32 x 32 ink -> conv 16 -> conv 32 -> conv 64, each 3 x 3 with pooling -> 128 -> 512. Trained in about two minutes on two cores; kept with
 * a digest of its recipe. Weights equal over runs on one machine (one thread, deterministic session); not promised over machines.
 */
import { type CnnSpec, cnn, cnnParameters, GraphBuilder, infoNce, normalizeRows } from '@lethe/graph';
import { adamW, cosineDecay, initialParameters, trainStepGraph } from '@lethe/optim';
import { Session, TrainStep } from '@lethe/runtime';
import { bytesOf, seededRandom, shuffle } from '@lethe/std';
import { float32, type Tensor } from '@lethe/tensor';
import { readDerived, sourceDigest, writeDerived } from '../derived.ts';
import { inkOf, loadEmoji } from '../emoji.ts';
import { DATASETS } from '../errors.ts';
import { DATA_ROOT } from '../pinned.ts';
import { emojiTexts, USE_WIDTH } from './use.ts';

const SIDE = 32;
const PIXELS = SIDE * SIDE;
/** Values of the layer that is read. */
export const PICTURE_WIDTH = 128;

const NETWORK: CnnSpec = {
  picture: [SIDE, SIDE, 1],
  convolutions: [16, 32, 64].map((filters) => ({
    filters,
    kernel: 3,
    padding: 1,
    pool: { kernel: 2, stride: 2 },
  })),
  widths: [PICTURE_WIDTH, USE_WIDTH],
};
const BATCH = 128;
const EPOCHS = 30;
const RATE = 2e-3;
const TEMPERATURE = 0.07;
const SHIFT = 2;

const recipe = (root: string) => ({
  format: 'lethe-picture-net-v1',
  network: 'conv 16-32-64, 3x3, pool 2; dense 128-512',
  training: `infoNCE ${TEMPERATURE}, AdamW ${RATE} cosine, ${EPOCHS} epochs of ${BATCH}, shift ${SHIFT}, mirror`,
  sources: [sourceDigest('emoji', root), sourceDigest('use', root)],
});

type Weights = Record<string, Tensor<'float32'>>;

/** The trained parameters, from where they are kept or trained now. @param onEpoch mean loss of each epoch  @throws LETHE-2310 emoji or use are not fetched */
export async function pictureNet(
  root = DATA_ROOT,
  onEpoch: (epoch: number, loss: number) => void = () => undefined,
): Promise<Weights> {
  const kept = readDerived('picture-net.f32', recipe(root), root);
  const numbers = kept ? new Float32Array(kept.slice().buffer) : flat(await trained(root, onEpoch));
  if (!kept) writeDerived('picture-net.f32', recipe(root), bytesOf(numbers), root);
  let at = 0;
  return Object.fromEntries(
    cnnParameters(NETWORK).map(({ name, shape }) => {
      const size = shape.reduce((product, axis) => product * axis, 1);
      at += size;
      return [name, float32(shape, numbers.slice(at - size, at))];
    }),
  );
}

function flat(weights: Weights): Float32Array {
  const parts = cnnParameters(NETWORK).map(({ name }) => weights[name]!.data);
  const numbers = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    numbers.set(part, at);
    at += part.length;
  }
  return numbers;
}

async function trained(root: string, onEpoch: (epoch: number, loss: number) => void): Promise<Weights> {
  const { emoji, pictures } = loadEmoji(root);
  const ink = inkOf(pictures);
  const texts = await emojiTexts(emoji, root);
  const vendors = ink.length / PIXELS / emoji.length;
  const random = seededRandom('lethe/picture-net/v1');
  const g = new GraphBuilder();
  const x = g.examples('x', [BATCH, PIXELS]);
  const names = g.examples('names', [BATCH, USE_WIDTH]);
  const { logits, parameters } = cnn(x, NETWORK);
  const losses = infoNce(normalizeRows(logits), names, TEMPERATURE);
  const objective = { kind: 'mean', divisor: BATCH } as const;
  const graph = trainStepGraph(g, { losses, parameters, optimizer: adamW({ weightDecay: 0.05 }), objective });
  const step = await TrainStep.create(graph, initialParameters(cnnParameters(NETWORK), random), {
    deterministic: true,
  });
  // In one epoch an emoji comes once, from one vendor or the other: twice in a batch it would be its own wrong answer.
  const steps = Math.floor(emoji.length / BATCH);
  const rate = cosineDecay(RATE, EPOCHS * vendors * steps, { warmup: steps });
  for (let epoch = 0; epoch < EPOCHS * vendors; epoch++) {
    const order = shuffle(Uint32Array.from(emoji.keys()), random);
    let sum = 0;
    for (let s = 0; s < steps; s++) {
      const xs = new Float32Array(BATCH * PIXELS);
      const ys = new Float32Array(BATCH * USE_WIDTH);
      for (let row = 0; row < BATCH; row++) {
        const which = order[s * BATCH + row]!;
        const cell = which * vendors + ((which + epoch) % vendors);
        moved(
          ink.subarray(cell * PIXELS, (cell + 1) * PIXELS),
          xs.subarray(row * PIXELS, (row + 1) * PIXELS),
          {
            dx: random.below(2 * SHIFT + 1) - SHIFT,
            dy: random.below(2 * SHIFT + 1) - SHIFT,
            mirrored: random.below(2) === 1,
          },
        );
        ys.set(texts.subarray(which * USE_WIDTH, (which + 1) * USE_WIDTH), row * USE_WIDTH);
      }
      const feeds = { x: float32([BATCH, PIXELS], xs), names: float32([BATCH, USE_WIDTH], ys) };
      const { loss } = await step.run(feeds, rate(epoch * steps + s));
      sum += (loss!.data as Float32Array)[0]!;
    }
    onEpoch(epoch, sum / steps);
  }
  return step.parameters();
}

/** A picture shifted, blank coming in from the edge, and possibly mirrored, in 0..1. */
function moved(
  from: Uint8Array,
  to: Float32Array,
  { dx, dy, mirrored }: { dx: number; dy: number; mirrored: boolean },
): void {
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const [sy, sx] = [y - dy, (mirrored ? SIDE - 1 - x : x) - dx];
      if (sy >= 0 && sy < SIDE && sx >= 0 && sx < SIDE) to[y * SIDE + x] = from[sy * SIDE + sx]! / 255;
    }
  }
}

/**
 * What the network's layer of 128 makes of pictures. @param pictures ink [n, 32, 32]  @returns [n, 128], each at least 0
 * @throws LETHE-2310 there is no trained network and its data are not fetched  @throws LETHE-2322 no whole pictures
 */
export async function embedPictures(pictures: Uint8Array, root = DATA_ROOT): Promise<Float32Array> {
  if (pictures.length % PIXELS !== 0) {
    throw DATASETS.PICTURE_MALFORMED('these are no whole pictures of 32 x 32 ink', {
      details: { bytes: pictures.length },
    });
  }
  const weights = await pictureNet(root);
  const g = new GraphBuilder();
  const tap: CnnSpec = { ...NETWORK, widths: [PICTURE_WIDTH] };
  g.output('embedding', cnn(g.examples('x', [BATCH, PIXELS]), tap).logits);
  const session = await Session.create(g.build(), { deterministic: true });
  try {
    const count = pictures.length / PIXELS;
    const out = new Float32Array(count * PICTURE_WIDTH);
    const own = Object.fromEntries(cnnParameters(tap).map(({ name }) => [name, weights[name]!]));
    for (let start = 0; start < count; start += BATCH) {
      const rows = Math.min(BATCH, count - start);
      const x = new Float32Array(BATCH * PIXELS);
      for (let i = 0; i < rows * PIXELS; i++) x[i] = pictures[start * PIXELS + i]! / 255;
      const { embedding } = await session.run({ ...own, x: float32([BATCH, PIXELS], x) });
      const values = (embedding!.data as Float32Array).subarray(0, rows * PICTURE_WIDTH);
      out.set(
        values.map((value) => Math.max(0, value)),
        start * PICTURE_WIDTH,
      );
    }
    return out;
  } finally {
    await session.close();
  }
}
