/** Keys as a port, so that a KMS or an HSM can take the place of the file. */

/** What a key is for. Its id is an alias or a digest: the store never learns a subject's id. */
export interface KeyName {
  readonly tenant: string;
  readonly kind: 'subject' | 'artefact';
  readonly id: string;
}

/** What remains of a destroyed key: proof for the certificate, and the reason why it is never made again. */
export interface KeyReceipt {
  /** Hex SHA-256 over the name. */
  readonly keyIdDigest: string;
  readonly destroyedAtMs: number;
  /** How the bytes were removed: the settings in force, read back from the store. */
  readonly settings: string;
}

export interface Rotation {
  readonly epoch: number;
  /** Keys that live on, wrapped anew. */
  readonly rewrapped: number;
  /** Epochs whose key was destroyed: backups of the store from then open nothing. */
  readonly destroyedEpochs: readonly number[];
}

export interface KeyStore {
  /**
   * The keys of these names, made where they are missing, in one transaction.
   * @returns 32 bytes each, in the order of the names @throws LetheError LETHE-2202 one was destroyed; then none is made
   */
  ensure(names: readonly KeyName[]): readonly Uint8Array[];
  /** @throws LetheError LETHE-2201 never made; LETHE-2202 destroyed */
  get(name: KeyName): Uint8Array;
  has(name: KeyName): boolean;
  /**
   * Overwrites the keys, all or none, and returns when no file of the store holds their bytes. Destroying again returns
   * the first receipt. A name that never had a key gets one too: none can be made under it any more.
   */
  destroy(names: readonly KeyName[]): readonly KeyReceipt[];
  receipt(name: KeyName): KeyReceipt | undefined;
  /** Wraps every living key under a new epoch key and destroys the old one. */
  rotate(): Rotation;
  close(): void;
}
