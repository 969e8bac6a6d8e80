/**
 * Fixed features of pictures compared on Phosphor, one split: `npm run bench -- pictures [--json]`.
 *
 * Each goes through the same analytic head (D 1,024, 64 bits) in six tasks with old codes kept; pictures against pictures by codes too.
 * A choice among them made on these queries would be optimistic by a little: they are shown, and the defaults are chosen elsewhere.
 */
import { hog, loadPhosphor, PHOSPHOR_CATEGORIES, phosphorTasks } from '@lethe/datasets';
import { embedPictures, PICTURE_WIDTH, phosphorTexts, USE_WIDTH } from '@lethe/datasets/encoders';
import { DEFAULT_CROSS_MODAL } from '../cross-modal.ts';
import { quantiseEmbeddings } from '../quantise.ts';
import { analyticMethod } from './methods.ts';
import { type EvaluationSet, runProtocol } from './protocol.ts';

const { icons, pictures, side } = loadPhosphor();
const VIEWS = 6;
const count = icons.length * VIEWS;
const texts = quantiseEmbeddings(await phosphorTexts(icons), USE_WIDTH);
const gradients = quantiseEmbeddings(hog(pictures, side, side), hog(pictures, side, side).length / count);
const network = quantiseEmbeddings(await embedPictures(pictures), PICTURE_WIDTH);

/** Columns of several features side by side. */
function beside(...parts: readonly Uint8Array[]): Uint8Array {
  const widths = parts.map((part) => part.length / count);
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  for (let row = 0, at = 0; row < count; row++) {
    for (const [i, part] of parts.entries()) {
      out.set(part.subarray(row * widths[i]!, (row + 1) * widths[i]!), at);
      at += widths[i]!;
    }
  }
  return out;
}

const FEATURES: Readonly<Record<string, Uint8Array>> = {
  'pixels 32 x 32': pictures,
  'gradients (HOG)': gradients,
  'our network, trained on emoji': network,
  'gradients and network': beside(gradients, network),
};
const PAIRS = [
  ['image', 'text'],
  ['text', 'image'],
  ['image', 'image'],
] as const;

const rows: Record<string, Record<string, number>> = {};
for (const [name, inputs] of Object.entries(FEATURES)) {
  const image = { inputs, width: inputs.length / count, views: VIEWS };
  const set: EvaluationSet = {
    classes: PHOSPHOR_CATEGORIES,
    labels: icons.map(({ labels }) => labels),
    modalities: { image, text: { inputs: texts, width: USE_WIDTH, views: 1 } },
  };
  const dims = { featureDim: 1_024, lambda: DEFAULT_CROSS_MODAL.lambda };
  const method = analyticMethod(
    'lifelong',
    {
      ...DEFAULT_CROSS_MODAL,
      codeBits: 64,
      modalities: { image: { inputWidth: image.width, ...dims }, text: { inputWidth: USE_WIDTH, ...dims } },
    },
    { names: PHOSPHOR_CATEGORIES, tasks: 6 },
  );
  const { directions } = await runProtocol(set, phosphorTasks(icons, 0), method, PAIRS);
  rows[name] = Object.fromEntries(
    directions.flatMap(({ direction, overall, forgetting }) => [
      [direction, overall],
      [`${direction} forgetting`, forgetting],
    ]),
  );
}
if (process.argv.includes('--json')) console.log(JSON.stringify({ bench: 'picture features', rows }));
else console.table(rows);
