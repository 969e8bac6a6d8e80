/**
 * What a function does, whatever it is written as: SHA-256 over its codes of 256 canonical inputs. After Unified Functional Hashing (Gillard et al.
 * 2023), which caches candidate programs by their behaviour on fixed inputs.
 *
 * `functionFingerprint` binds the bits of the weights too; this one does not. Hidden units in another order or the nodes of a graph in another order give the same
 * digest, and two retrainings with equal digests need not be evaluated twice. Equal digests do not prove equal functions: functions that differ only on other inputs
 * have one digest. A claim of identity quotes both.
 */
import { seededRandom, sha256 } from '@lethe/std';
import { HASHING } from '../errors.ts';

const CANONICAL_INPUTS = 256;

/** The canonical inputs of a width: uniform bytes, the ones `functionFingerprint` uses. @returns [256, inputWidth] */
export const canonicalInputs = (inputWidth: number): Uint8Array =>
  seededRandom('lethe/hashing/canonical-inputs/v1').bytes(CANONICAL_INPUTS * inputWidth);

/**
 * @param encode inputs [n, inputWidth] to codes [n, K / 8], of any tier
 * @returns 32 bytes  @throws LETHE-3406 the codes have another length
 */
export function behaviourDigest(
  encode: (inputs: Uint8Array) => Uint8Array,
  inputWidth: number,
  codeBits: number,
): Uint8Array {
  const codes = encode(canonicalInputs(inputWidth));
  if (codes.length !== (CANONICAL_INPUTS * codeBits) / 8) {
    throw HASHING.CODE_LENGTH_WRONG('the function gives codes of another length', { details: { codeBits } });
  }
  return sha256('lethe/hashing/behaviour/v1', Uint32Array.of(inputWidth, codeBits).toString(), codes);
}
