/** A private model and what its guarantee says. */
export interface PrivateModel {
  /** Fraction of the 2,000 test digits. */
  readonly accuracy: number;
  /** What the guarantee hides: subject (everything of one person) or record (one record alone, the weaker promise). */
  readonly unit: string;
  /** Fixed transform of the rows before the linear model. */
  readonly features: string;
  /** Accounted upper bound. */
  readonly epsilonUpper: number;
  /** The same by an accountant that shares no code; absent where its guard refuses. */
  readonly epsilonIndependent?: number;
  /** agreed, or not-possible. */
  readonly secondOpinion: string;
  readonly delta: number;
  readonly noiseMultiplier: number;
  readonly samplingProbability: number;
  readonly steps: number;
  readonly neighboringRelation: string;
}

/** What the stand-alone verifier said of the certificate and of a changed copy of it. */
export interface Verified {
  readonly verified: boolean;
  readonly tamperedRejected: boolean;
  /** Name of the check that refused the changed certificate. */
  readonly tamperedFailedCheck: string;
}

/**
 * `summary.json`: the figures of a run. A key is absent when its step did not run; no value is ever filled in.
 */
export interface Summary {
  federation?: {
    /** Fraction of the 2,000 test digits that both parties' codes and the top model classify right. */
    accuracy: number;
    /** The same network with floats in place of codes, trained in one process. */
    accuracyWithoutHashing: number;
    /** Payload bytes for one row in one step, party to service. */
    bytesPerSampleUp: number;
    /** Payload bytes for one row in one step, service to party. */
    bytesPerSampleDown: number;
  };
  hashing?: {
    /** Tie-aware mAP over all ranks and all ten digits, by the function that has seen 0-7 only. */
    mapBefore: number;
    /** After the update; old codes as they were. */
    mapAfter: number;
    /** Trained on everything by another process, every code computed anew. */
    mapFullRetrain: number;
    /** Queries of the digits that arrived later, after the update. */
    mapNewClasses: number;
    /** Codes stored before the update whose bytes differ after it. */
    oldCodesChanged: number;
    /** SHA-256 of the updated weights equals that of the other process. */
    weightsEqualFullRetrain: boolean;
    /** 1 - processor time of the update / that of a full retraining (statistics and solve). */
    timeSaved: number;
  };
  /** The model that hides everything of one person; `record` is a second model, which hides one record alone. */
  dp?: PrivateModel & {
    readonly record: PrivateModel & {
      /** What the second model's guarantee is for a person: upper bound for a group of that person's four records, same delta. */
      readonly epsilonOfPerson: number;
    };
  };
  unlearning?: {
    /** Of the ensemble on the test digits, before the erasure. */
    accuracy: number;
    /** Optimizer steps of erasing the person / optimizer steps of a full retraining. */
    costVsRetrain: number;
    /** Optimizer steps of erasing the DELETE canaries / optimizer steps of a full retraining. */
    costVsRetrainOfCanaries: number;
    /** Every shard's digest equals the one that another process gets from the survivors alone. */
    equalsNeverSeen: boolean;
    /** Of the ensemble after the erasure. */
    accuracyAfter: number;
  };
  erasure?: {
    /** CERTIFIED, PARTIAL, … */
    status: string;
    /** From the request to the certificate. */
    secondsToCertificate: number;
    /** Bytes of needles found on disk after the erasure. */
    residualBytes: number;
    /** Planted copies that the scanner found before it was believed. */
    plantedFound: number;
    /** The person's items among the 1,000 nearest of each of the person's own records, before and after. */
    itemsFoundBefore: number;
    itemsFoundAfter: number;
    /** Ingesting the person's records again was refused. */
    reingestionRefused: boolean;
  };
  audit?: {
    verdict: string;
    /** AUC of KEEP against OUT: the positive control. */
    keepAuc: number;
    /** AUC of DELETE against OUT: 0.5 if the erasure left nothing. */
    deleteAuc: number;
    /** Probability of not passing had a quarter of KEEP's effect remained. */
    power: number;
  };
  certificate?: Verified;
  /** Wall clock of the whole run. */
  seconds?: number;
}
