/**
 * Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv 1708.07747; MIT): 60,000 training and 10,000 test pictures of clothing. It names no persons;
 * one picture is one record.
 */
import { join } from 'node:path';
import { DATASETS } from './errors.ts';
import { readIdxGz } from './idx.ts';
import { DATA_ROOT, dataDirectory } from './pinned.ts';

/** Grey pictures with one label each. */
export interface LabelledPictures {
  /** [n, height, width], row-major. */
  readonly pixels: Uint8Array;
  /** [n], class indices. */
  readonly labels: Uint8Array;
  readonly height: number;
  readonly width: number;
}

export const FASHION_CLASSES = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
] as const;

function readPart(directory: string, part: string): LabelledPictures {
  const pictures = readIdxGz(join(directory, `${part}-images-idx3-ubyte.gz`));
  const labels = readIdxGz(join(directory, `${part}-labels-idx1-ubyte.gz`));
  const [count, height, width] = pictures.shape;
  if (pictures.shape.length !== 3 || labels.shape.length !== 1 || labels.shape[0] !== count) {
    throw DATASETS.FILE_MALFORMED(`the ${part} pictures and labels of Fashion-MNIST do not belong together`);
  }
  return { pixels: pictures.data, labels: labels.data, height: height!, width: width! };
}

/** @throws LETHE-2310 it has not been fetched  @throws LETHE-2314 a file is damaged */
export function loadFashionMnist(root = DATA_ROOT): { train: LabelledPictures; test: LabelledPictures } {
  const directory = dataDirectory('fashion-mnist', root);
  return { train: readPart(directory, 'train'), test: readPart(directory, 't10k') };
}
