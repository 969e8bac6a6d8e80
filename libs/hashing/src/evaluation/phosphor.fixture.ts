/** Phosphor icons as the benches meet them: pictures of 16 x 16 ink, texts by the Universal Sentence Encoder, both as bytes by fixed scales. */
import { loadPhosphor, PHOSPHOR_CATEGORIES, taskPlan } from '@lethe/datasets';
import { phosphorTexts, USE_WIDTH } from '@lethe/datasets/encoders';
import { quantiseEmbeddings } from '../quantise.ts';
import { shrinkPictures } from './pictures.ts';
import type { EvaluationSet, LifelongPlan } from './protocol.ts';

/** Pixels a side. */
export const PICTURE_SIDE = 16;

export const ACROSS = [
  ['image', 'text'],
  ['text', 'image'],
] as const;

/** Needs `npm run data -- phosphor use`. */
export async function phosphorSet() {
  const { icons, pictures, side } = loadPhosphor();
  /** [icons, USE_WIDTH], before they are bytes. */
  const texts = await phosphorTexts(icons);
  const image = shrinkPictures(pictures, side, PICTURE_SIDE);
  const set: EvaluationSet = {
    classes: PHOSPHOR_CATEGORIES,
    labels: icons.map((icon) => icon.labels),
    modalities: {
      image: { inputs: image, width: PICTURE_SIDE ** 2, views: 6 },
      text: { inputs: quantiseEmbeddings(texts, USE_WIDTH), width: USE_WIDTH, views: 1 },
    },
  };
  return { icons, texts, set };
}

/** Tasks within the training part of a plan, so that what is chosen by them has seen no query. */
export function validationPlan({ labels }: EvaluationSet, plan: LifelongPlan, seed: number): LifelongPlan {
  const train = plan.tasks.flatMap((task) => task.items).sort((a, b) => a - b);
  const inner = taskPlan(
    train.map((icon) => labels[icon]!),
    { classes: PHOSPHOR_CATEGORIES.length, classesPerTask: 3, holdOutEvery: 5, seed: 1_000 + seed },
  );
  return {
    ...inner,
    tasks: inner.tasks.map((task) => ({ ...task, items: task.items.map((at) => train[at]!) })),
    heldOut: inner.heldOut.map((at) => train[at]!),
  };
}
