import {
  CERTIFICATE,
  issueCertificate,
  type LogStatement,
  makeKeyFile,
  prepareCertificate,
} from '@lethe/certificate';
import { EVENT } from '@lethe/contracts';
import { effectId, newEvent } from '@lethe/events';
import type { SealedArtefacts } from '@lethe/service';
import { assert, isError } from '@lethe/std';
import { assembleBody, shortcomings } from './domain/body.ts';
import { partial, type SagaEvent } from './domain/decide.ts';
import type { Gathered } from './gather.ts';
import type { Keys } from './keys.ts';
import type { TransparencyLog } from './transparency-log.ts';

export interface CertifyDeps {
  readonly log: TransparencyLog;
  readonly keys: Keys;
  readonly artefacts: SealedArtefacts;
  readonly dueDays: number;
}

const DAY_MS = 86_400_000;

/**
 * Assembles, logs, signs and stores the certificate. Each step finds what an interrupted run has left: the body is a function
 * of events, the statement is appended once per body, proofs and checkpoint end at the statement, Ed25519 is deterministic.
 *
 * @returns the saga's last event; `erasure.partial` without a certificate where the verifier would refuse one
 */
export async function certify(
  deps: CertifyDeps,
  tenant: string,
  situation: Gathered,
  missing: readonly string[],
): Promise<SagaEvent> {
  const { saga, facts, material, statementIndexes } = situation;
  assert(saga.requested && material, 'only an erased erasure is certified');
  const cause = saga.requested.id;
  const { entries } = await deps.log.load(tenant);
  const lacks = shortcomings(facts, material, missing);
  const auditVerdict = material.report?.verdict ?? '';
  try {
    const prepared = prepareCertificate(
      assembleBody({
        saga,
        facts,
        material,
        statements: statementIndexes.map((index) => entries[index]?.statement as LogStatement),
        missing: lacks,
        dueMs: saga.requested.timeMs + deps.dueDays * DAY_MS,
      }),
      deps.keys.issuer,
    );
    const index = await deps.log.append(tenant, prepared.statement);
    const bytes = issueCertificate(
      prepared,
      await deps.log.proofs(tenant, index, statementIndexes),
      makeKeyFile({
        issuers: [deps.keys.issuer],
        origin: deps.keys.origin(tenant),
        logs: [deps.keys.log(tenant)],
        checkpoint: null,
      }),
    );
    const certificate = await deps.artefacts.putPublic(tenant, bytes);
    const issued = {
      erasure: saga.requested.data.erasure,
      certificateDigest: certificate.object,
      certificate,
      logIndex: BigInt(index),
      auditVerdict,
    };
    return lacks.length === 0
      ? newEvent(EVENT.erasureCertified, issued, effectId(cause, EVENT.erasureCertified.type))
      : newEvent(
          EVENT.erasurePartial,
          { ...issued, missing: lacks },
          effectId(cause, EVENT.erasurePartial.type),
        );
  } catch (error) {
    // Evidence that the verifier refuses will not get better by waiting.
    if (!isError(error, CERTIFICATE.BODY_REFUSED)) throw error;
    const refused = [...lacks, `a certificate that verifies: ${error.message}`];
    return newEvent(
      EVENT.erasurePartial,
      { ...partial(saga, refused), auditVerdict },
      effectId(cause, EVENT.erasurePartial.type),
    );
  }
}
