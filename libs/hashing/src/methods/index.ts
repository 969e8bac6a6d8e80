export * from './anchors.ts';
export * from './centred.ts';
export * from './few-shot.ts';
export * from './key-value.ts';
export * from './near-duplicates.ts';
export * from './view-fusion.ts';
