import type { Verified } from '../summary.ts';

/** An emoji that was found. */
export interface Found {
  readonly character: string;
  /** `red heart`. */
  readonly name: string;
  /** Code points in hex. */
  readonly code: string;
  readonly group: string;
  /** Hamming distance of its picture's code to that of the words. */
  readonly distance: number;
}

/** The five nearest pictures to some words. */
export interface Answer {
  readonly question: string;
  readonly found: readonly Found[];
}

/** Tie-aware mAP over all ranks of held-out emoji as queries; an item counts if it is of the query's group. */
export interface Precision {
  readonly textToImage: number;
  readonly imageToText: number;
  /** What a random order of the same items would have. */
  readonly randomOrder: number;
}

/** A group has arrived. */
export interface Step {
  readonly group: string;
  readonly emoji: number;
  readonly version: number;
  /** Merkle root of the dataset, hex. */
  readonly datasetRoot: string;
  /** Processor time of the update, milliseconds. */
  readonly statisticsMs: number;
  readonly solveMs: number;
  /** From the request to the new version serving, encoding, index and gate included. */
  readonly updateSeconds: number;
  /** Codes that were there before, and how many of them have other bytes or are gone. */
  readonly oldCodes: number;
  readonly oldCodesChanged: number;
  /** Merkle root over the old codes, hex; empty while there are none. */
  readonly oldCodesRootBefore: string;
  readonly oldCodesRootAfter: string;
  /** PASSED, UNTESTED, …: the gate before the promotion. */
  readonly gate: string;
  /** Held-out emoji of the groups that are there, asked once in each direction. */
  readonly queries: number;
  readonly precision: Precision;
  readonly answers: readonly Answer[];
}

export interface Forgotten {
  readonly status: string;
  readonly secondsToCertificate: number;
  /** What the synthetic owner had. */
  readonly emoji: readonly Pick<Found, 'character' | 'name' | 'code'>[];
  /** Their items among the 1,000 nearest of each of their pictures and texts. */
  readonly itemsFoundBefore: number;
  readonly itemsFoundAfter: number;
  readonly residualBytes: number;
  readonly plantedFound: number;
  readonly reingestionRefused: boolean;
  /** The same question before and after. */
  readonly before: Answer;
  readonly after: Answer;
  /** Weakest claim of the certificate. */
  readonly claim: string;
}

/** `summary.json` of the emoji demonstration. A key is absent when its step did not run; no value is ever filled in. */
export interface EmojiSummary {
  readonly codeBits: number;
  readonly featureDim: number;
  readonly classes: number;
  /** Stored, and held out as queries. */
  readonly stored: number;
  readonly heldOut: number;
  readonly subjects: number;
  readonly steps: Step[];
  forgotten?: Forgotten;
  certificate?: Verified;
  seconds?: number;
}
