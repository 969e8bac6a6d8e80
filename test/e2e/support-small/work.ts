/** Long-running resources, followed to their end. */
import type { Lethe } from '@lethe/client';
import { audit, erasure, hashing, learning, resourceName } from '@lethe/contracts';
import { TENANT } from './platform.ts';

type Conditions = readonly { readonly type: string; readonly message: string }[];

const failed = (what: string, conditions: Conditions): Error =>
  new Error(`${what}: ${conditions.map(({ type, message }) => `${type}: ${message}`).join('; ')}`);

export async function registeredAudit(auditor: Lethe, name: string): Promise<audit.Audit> {
  for await (const state of auditor.audit.watchAudit({ name })) {
    if (state.state === audit.Audit_State.STATE_FAILED) throw failed(name, state.conditions);
    if (state.state === audit.Audit_State.STATE_REGISTERED) return state;
  }
  throw new Error(`${name} was not registered`);
}

export async function servedFunction(
  client: Lethe,
  name: string,
  version: number,
): Promise<hashing.HashFunction> {
  for await (const state of client.hashing.watchHashFunction({ name })) {
    if (state.state === hashing.HashFunction_State.STATE_FAILED) throw failed(name, state.conditions);
    if (state.state === hashing.HashFunction_State.STATE_SERVING && state.version >= version) return state;
  }
  throw new Error(`${name} is not served in version ${version}`);
}

export async function endedRun(client: Lethe, runId: string, tenant = TENANT): Promise<learning.TrainingRun> {
  const name = resourceName('trainingRun', tenant, runId);
  for await (const run of client.learning.watchTrainingRun({ name })) {
    if (
      run.state === learning.TrainingRun_State.STATE_FAILED ||
      run.state === learning.TrainingRun_State.STATE_CANCELLED ||
      run.state === learning.TrainingRun_State.STATE_SUCCEEDED
    )
      return run;
  }
  throw new Error(`${name} did not end`);
}

export async function trained(
  client: Lethe,
  runId: string,
  spec: Parameters<Lethe['learning']['createTrainingRun']>[0]['spec'],
  tenant = TENANT,
): Promise<learning.Model> {
  const parent = resourceName('tenant', tenant);
  await client.learning.createTrainingRun({ parent, runId, requestId: runId, ...(spec ? { spec } : {}) });
  const run = await endedRun(client, runId, tenant);
  if (run.state === learning.TrainingRun_State.STATE_FAILED) throw failed(run.name, run.conditions);
  return await client.learning.getModel({ name: run.model });
}

const FINAL: ReadonlySet<erasure.ErasureRequest_State> = new Set([
  erasure.ErasureRequest_State.STATE_CERTIFIED,
  erasure.ErasureRequest_State.STATE_PARTIAL,
  erasure.ErasureRequest_State.STATE_REFUSED,
  erasure.ErasureRequest_State.STATE_FAILED,
]);

export async function endedErasure(auditor: Lethe, name: string): Promise<erasure.ErasureRequest> {
  for await (const request of auditor.erasure.watchErasureRequest({ name })) {
    if (FINAL.has(request.state)) return request;
  }
  throw new Error(`${name} did not end`);
}

/** @throws unless the erasure ends as certified */
export async function certified(auditor: Lethe, name: string): Promise<erasure.ErasureRequest> {
  const ended = await endedErasure(auditor, name);
  if (ended.state !== erasure.ErasureRequest_State.STATE_CERTIFIED) throw failed(name, ended.conditions);
  return ended;
}
