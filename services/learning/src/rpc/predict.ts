import type { learning } from '@lethe/contracts';
import type { CallContext, Partially } from '@lethe/rpc';
import { bytesOf } from '@lethe/std';
import type { LearningContext } from '../context.ts';
import { LEARNING } from '../errors.ts';

/** Answers for so many payloads at once; a page of digits is 8 MB. */
const PAYLOADS_MAX = 10_000;

export async function predict(
  context: LearningContext,
  request: learning.PredictRequest,
  { identity }: Pick<CallContext, 'identity'>,
): Promise<Partially<learning.PredictResponse>> {
  const { payloads, subjectAliases } = request;
  if (subjectAliases.length > 0 && identity.role !== 'platform' && identity.role !== 'auditor') {
    throw LEARNING.SHARD_ANSWER_DENIED(`role ${identity.role} may not ask single shards`, {
      details: { role: identity.role },
    });
  }
  if (payloads.length === 0 || payloads.length > PAYLOADS_MAX) {
    throw LEARNING.REQUEST_INVALID(`payloads has to hold 1 to ${PAYLOADS_MAX}`, {
      details: { field: 'payloads', count: payloads.length },
    });
  }
  if (subjectAliases.length > 0 && subjectAliases.length !== payloads.length) {
    throw LEARNING.REQUEST_INVALID('subject_aliases has to name one subject for each payload', {
      details: { field: 'subject_aliases', count: subjectAliases.length },
    });
  }
  const model = await context.served.get(await context.loadModel(request.name));
  const rows = model.decode(payloads);
  const shardOf = subjectAliases.length > 0 ? subjectAliases.map(model.shardOf) : undefined;
  return { logits: bytesOf(await model.logits(rows, shardOf)), classes: model.classes };
}
