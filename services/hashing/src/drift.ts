/**
 * The watch for drift: does what comes still look like what came after the version was promoted?
 *
 * One monitor for each function, version and modality, fed by what is encoded for callers and by new items before they are learned,
 * encoded by the version that has not seen them. The first items after a promotion become the reference, the later ones are compared
 * with it (`libs/hashing/src/drift`). Reference and windows live in this process's memory alone: a restart, another version and an
 * erasure start anew, and each replica sees its own queries. The state says how far it is.
 *
 * An erasure forgets everything that the function's monitors hold, also of others: what came as a query has no name to it, so nothing less
 * would be sure.
 */

import {
  DriftMonitor,
  type DriftOptions,
  type DriftReference,
  type DriftReport,
  driftReferenceSteps,
  type HashFunction,
  observeItems,
} from '@lethe/hashing';
import type { Logger } from '@lethe/std';
import { bytesOf, canonicalJson, concatBytes, hex, sha256 } from '@lethe/std';
import type { Address } from './functions.ts';
import { breathe } from './learn.ts';

/** A report that alarms, and where it comes from. */
export interface Drifted {
  readonly address: Address;
  readonly version: number;
  readonly modality: string;
  readonly report: DriftReport;
  readonly referenceDigest: string;
}

export interface WatchState {
  readonly modality: string;
  readonly version: number;
  readonly referenceItems: number;
  readonly referenceItemsNeeded: number;
  readonly items: number;
  readonly skippedItems: number;
  /** Empty while the reference is being collected. */
  readonly referenceDigest: string;
}

/** One modality of a version that encodes. */
export interface Encoder {
  readonly version: number;
  readonly part: number;
  readonly modality: string;
  readonly fn: HashFunction;
}

/** Rows that may wait; more are left out and counted. */
const WAITING_MAX = 8_192;
/** Rows between two breaths: a few milliseconds. */
const STEP_ROWS = 64;

interface Waiting {
  readonly features: Uint8Array;
  readonly rows: number;
}

class Watch {
  readonly address: Address;
  readonly encoder: Encoder;
  readonly #options: DriftOptions;
  readonly #logger: Logger;
  readonly #waiting: Waiting[] = [];
  #waitingRows = 0;
  #skipped = 0;
  #codes: Uint8Array;
  #margins: Float64Array;
  #collected = 0;
  #monitor: DriftMonitor | undefined;
  #digest = '';
  #items = 0;
  #draining: Promise<void> | undefined;
  #closed = false;

  constructor(address: Address, encoder: Encoder, options: DriftOptions, logger: Logger) {
    this.address = address;
    this.encoder = encoder;
    this.#options = options;
    this.#logger = logger;
    const { codeBits } = encoder.fn.codebook;
    this.#codes = new Uint8Array((options.referenceItemsMin * codeBits) / 8);
    this.#margins = new Float64Array(options.referenceItemsMin);
  }

  get state(): WatchState {
    return {
      modality: this.encoder.modality,
      version: this.encoder.version,
      referenceItems: this.#collected,
      referenceItemsNeeded: this.#options.referenceItemsMin,
      items: this.#items,
      skippedItems: this.#skipped,
      referenceDigest: this.#digest,
    };
  }

  /** @param features [n, D], copied; the copy is overwritten when it has been looked at */
  add(features: Uint8Array, onReport: (report: DriftReport) => void): void {
    const rows = features.length / this.encoder.fn.features.featureDim;
    if (this.#closed || this.#waitingRows + rows > WAITING_MAX) {
      this.#skipped += rows;
      return;
    }
    this.#waiting.push({ features: features.slice(), rows });
    this.#waitingRows += rows;
    this.#draining ??= this.#drain(onReport)
      .catch((error: unknown) => {
        // A watch that cannot look is no reason to answer nobody.
        this.close();
        this.#logger.warn('the watch for drift has stopped', { function: this.address.name, error });
      })
      .finally(() => {
        this.#draining = undefined;
      });
  }

  async drained(): Promise<void> {
    await this.#draining;
  }

  async #drain(onReport: (report: DriftReport) => void): Promise<void> {
    await breathe();
    for (let next = this.#waiting.shift(); next && !this.#closed; next = this.#waiting.shift()) {
      const { features, rows } = next;
      const { featureDim } = this.encoder.fn.features;
      for (let at = 0; at < rows && !this.#closed; at += STEP_ROWS) {
        const step = features.subarray(at * featureDim, Math.min(rows, at + STEP_ROWS) * featureDim);
        await this.#look(step, onReport);
        await breathe();
      }
      features.fill(0);
      this.#waitingRows -= rows;
    }
  }

  async #look(features: Uint8Array, onReport: (report: DriftReport) => void): Promise<void> {
    const { fn } = this.encoder;
    const { codes, margins } = observeItems(fn, features);
    const bytes = fn.codebook.codeBits / 8;
    const taken = this.#monitor ? 0 : Math.min(margins.length, this.#margins.length - this.#collected);
    if (taken > 0) {
      this.#codes.set(codes.subarray(0, taken * bytes), this.#collected * bytes);
      this.#margins.set(margins.subarray(0, taken), this.#collected);
      this.#collected += taken;
      if (this.#collected === this.#options.referenceItemsMin) await this.#begin();
    }
    if (this.#monitor && taken < margins.length) {
      this.#items += margins.length - taken;
      const rest = { codes: codes.subarray(taken * bytes), margins: margins.subarray(taken) };
      for (const report of this.#monitor.observe(rest)) if (report.drifted) onReport(report);
    }
    codes.fill(0);
    margins.fill(0);
  }

  /** The reference becomes counts; the codes of which it was made are overwritten. */
  async #begin(): Promise<void> {
    const items = { codes: this.#codes, margins: this.#margins };
    const steps = driftReferenceSteps(items, this.encoder.fn.codebook, this.#options);
    for (;;) {
      const { done, value: reference } = steps.next();
      if (done) {
        this.#digest = digestOf(reference);
        this.#monitor = new DriftMonitor(reference);
        break;
      }
      await breathe();
      if (this.#closed) return;
    }
    this.#codes.fill(0);
    this.#codes = new Uint8Array(0);
    this.#margins = new Float64Array(0);
  }

  /** Overwrites and drops everything that came. */
  close(): void {
    this.#closed = true;
    for (const { features } of this.#waiting.splice(0)) features.fill(0);
    this.#codes.fill(0);
    this.#margins.fill(0);
    this.#monitor?.clear();
    this.#monitor = undefined;
  }
}

const digestOf = ({ options, tally }: DriftReference): string =>
  hex(
    sha256(
      'lethe/hashing/drift-reference/v1',
      concatBytes(new TextEncoder().encode(canonicalJson({ ...options, items: tally.items }))),
      bytesOf(tally.counts),
    ),
  );

export class DriftWatches {
  readonly #options: DriftOptions;
  readonly #onDrift: (drifted: Drifted) => Promise<void>;
  readonly #logger: Logger;
  /** By function, and there by modality number. */
  readonly #watches = new Map<string, Map<number, Watch>>();
  /** Alarm sets of which a report is on its way or was made. */
  readonly #raised = new Set<string>();
  readonly #raising = new Set<Promise<void>>();
  /** By function and modality: version that looked at new items, and the ledger position up to which it did. */
  readonly #batches = new Map<string, { readonly version: number; readonly upTo: number }>();

  /** @param onDrift called once for each version, modality and set of alarms; again after it failed */
  constructor(options: DriftOptions, onDrift: (drifted: Drifted) => Promise<void>, logger: Logger) {
    this.#options = options;
    this.#onDrift = onDrift;
    this.#logger = logger;
  }

  /** Features of what a version encodes, [n, D]; copied. Returns at once: they are looked at between other work. */
  observe(address: Address, encoder: Encoder, features: Uint8Array): void {
    const watch = this.#of(address, encoder);
    watch?.add(features, (report) => this.#report(watch, report));
  }

  /**
   * Features of items that the encoder's version was not fitted on, before the next one is: as many as may wait, the rest is counted as
   * skipped, so that learning does not wait for the watch. The same batch again, after an attempt that came to nothing, is not looked
   * at twice.
   * @param from ledger position of the first of them
   */
  observeNew(address: Address, encoder: Encoder, features: Uint8Array, from: number): void {
    const { featureDim } = encoder.fn.features;
    const rows = features.length / featureDim;
    const key = `${address.name}|${encoder.part}`;
    const batch = this.#batches.get(key);
    const seen = batch?.version === encoder.version ? batch.upTo : from;
    if (from + rows <= seen) return;
    this.#batches.set(key, { version: encoder.version, upTo: from + rows });
    for (let at = seen - from; at < rows; at += STEP_ROWS)
      this.observe(
        address,
        encoder,
        features.subarray(at * featureDim, Math.min(rows, at + STEP_ROWS) * featureDim),
      );
  }

  /** Overwrites and drops everything that the function's monitors hold. */
  forget({ name }: Address): void {
    for (const watch of this.#watches.get(name)?.values() ?? []) watch.close();
    this.#watches.delete(name);
  }

  /** How far the watch is, by modality. */
  stateOf({ name }: Address): WatchState[] {
    return [...(this.#watches.get(name)?.values() ?? [])].map(({ state }) => state);
  }

  /** Returns when everything that came was looked at and every alarm was passed on. */
  async settled(): Promise<void> {
    for (const watches of this.#watches.values()) for (const watch of watches.values()) await watch.drained();
    await Promise.all(this.#raising);
  }

  /** Undefined for a version that another one has followed. */
  #of(address: Address, encoder: Encoder): Watch | undefined {
    const watches = this.#watches.get(address.name) ?? new Map<number, Watch>();
    this.#watches.set(address.name, watches);
    const present = watches.get(encoder.part);
    if (present && present.encoder.version > encoder.version) return undefined;
    if (present?.encoder.version === encoder.version) return present;
    present?.close();
    const watch = new Watch(address, encoder, this.#options, this.#logger);
    watches.set(encoder.part, watch);
    return watch;
  }

  #report({ address, encoder: { version, modality }, state }: Watch, report: DriftReport): void {
    const key = [address.name, version, modality, alarmKey(report.alarms)].join('|');
    if (this.#raised.has(key)) return;
    this.#raised.add(key);
    const { referenceDigest } = state;
    const raising = this.#onDrift({ address, version, modality, report, referenceDigest })
      .catch((error: unknown) => {
        this.#raised.delete(key);
        this.#logger.warn('a drift could not be reported', { function: address.name, error });
      })
      .finally(() => this.#raising.delete(raising));
    this.#raising.add(raising);
  }
}

export const alarmKey = (alarms: readonly string[]): string => alarms.toSorted().join(',');
