import { checkId, hashing, parseName, tenantOf } from '@lethe/contracts';
import { decodeSpec } from '@lethe/datasets';
import { allocateClasses, createFeatureMap, DEFAULT_HASH_OPTIONS, emptyCodebook } from '@lethe/hashing';
import type { Partially } from '@lethe/rpc';
import { datasetOfRoot } from '@lethe/service';
import type { HashingContext } from '../context.ts';
import { createFunction } from '../domain/hash-function.ts';
import { checkModalities } from '../domain/modalities.ts';
import { HASHING_SERVICE } from '../errors.ts';
import { addressOf } from '../functions.ts';
import { EPSILON_DEFAULT } from '../gate.ts';
import { resource } from '../resource.ts';
import { requestEventId } from './request-event-id.ts';

/** Declares a function; again with the same specification it changes nothing. Learning starts from the event. */
export async function createHashFunction(
  context: HashingContext,
  request: hashing.CreateHashFunctionRequest,
): Promise<Partially<hashing.HashFunction>> {
  const [tenant] = parseName('tenant', request.parent);
  const address = addressOf(tenant, checkId(request.functionId, 'function_id'));
  if (!request.spec) throw invalid('spec is missing', 'spec');
  const spec = withDefaults(request.spec);
  await checkSpec(context, tenant, spec);
  const eventId = requestEventId(address.name, request.requestId);
  await context.functions.aggregates.propose(tenant, address.id, (state) =>
    createFunction(state, address.name, spec, request.spec?.gate !== undefined, eventId),
  );
  return await resource(context, address);
}

const { SURVIVOR_CODES_KEEP, SURVIVOR_CODES_REENCODE_CHANGED, SURVIVOR_CODES_RETIRE } =
  hashing.HashFunctionSpec_SurvivorCodes;
/** Beside KEEP, which is left out of a specification. */
const POLICIES: readonly hashing.HashFunctionSpec_SurvivorCodes[] = [
  SURVIVOR_CODES_REENCODE_CHANGED,
  SURVIVOR_CODES_RETIRE,
];
const { TIER_ANALYTIC } = hashing.HashFunctionSpec_Tier;

const invalid = (why: string, field: string) => HASHING_SERVICE.REQUEST_INVALID(why, { details: { field } });

/** Beyond these the weights are rounding errors, or zeros. */
const [LAMBDA_MIN, LAMBDA_MAX] = [1, 1e12];

/** 0 stands for the default; NaN stays what it is, and is refused. */
const orDefault = (value: number, otherwise: number): number => (value === 0 ? otherwise : value);

const CONTENT_BITS_DEFAULT = 256;

/** A content code has whole bytes, and the last feature is the same for every record. */
const longestContent = (featureDim: number): number => 8 * Math.floor((featureDim - 1) / 8);

/** Every number in place; a choice that is the default is left out, so that naming it makes no other specification. */
const withDefaults = (spec: hashing.HashFunctionSpec): hashing.HashFunctionSpec => ({
  root: spec.root,
  codeBits: spec.codeBits || DEFAULT_HASH_OPTIONS.codeBits,
  featureDim: spec.featureDim || DEFAULT_HASH_OPTIONS.featureDim,
  lambda: orDefault(spec.lambda, DEFAULT_HASH_OPTIONS.lambda),
  featureSeed: spec.featureSeed || DEFAULT_HASH_OPTIONS.seed,
  modalities: spec.modalities,
  survivorCodes: spec.survivorCodes === SURVIVOR_CODES_KEEP ? undefined : spec.survivorCodes || undefined,
  tier: spec.tier === TIER_ANALYTIC ? undefined : spec.tier || undefined,
  gate: {
    epsilon: orDefault(spec.gate?.epsilon ?? 0, EPSILON_DEFAULT),
    require: spec.gate?.require ?? false,
    reportOnly: spec.gate?.reportOnly ?? false,
  },
  nearDuplicates: spec.nearDuplicates && {
    radius: spec.nearDuplicates.radius,
    contentBits:
      spec.nearDuplicates.contentBits ||
      Math.min(CONTENT_BITS_DEFAULT, longestContent(spec.featureDim || DEFAULT_HASH_OPTIONS.featureDim)),
  },
  quarantine: spec.quarantine,
});

const MARGIN_SHARE_MAX = 0.5;

function checkFilter({ radius, contentBits }: hashing.NearDuplicateFilter, featureDim: number): void {
  if (contentBits < 8 || contentBits % 8 !== 0 || contentBits > longestContent(featureDim))
    throw invalid('is not a multiple of 8 below feature_dim', 'spec.near_duplicates.content_bits');
  if (radius > contentBits) throw invalid('is above content_bits', 'spec.near_duplicates.radius');
}

/** Everything that would make the learning fail and can be seen now. The libraries judge their own options. */
async function checkSpec(
  { peers }: HashingContext,
  tenant: string,
  {
    root,
    codeBits,
    featureDim,
    lambda,
    featureSeed,
    modalities,
    survivorCodes,
    tier,
    gate,
    nearDuplicates,
    quarantine,
  }: hashing.HashFunctionSpec,
): Promise<void> {
  if (tier !== undefined) throw invalid('functions of this tier cannot be created', 'spec.tier');
  if (survivorCodes !== undefined && !POLICIES.includes(survivorCodes))
    throw invalid('is no policy', 'spec.survivor_codes');
  if (gate && !(gate.epsilon > 0 && gate.epsilon <= 1))
    throw invalid('is not above 0 and at most 1', 'spec.gate.epsilon');
  if (gate?.require && gate.reportOnly)
    throw invalid('require and report_only exclude each other', 'spec.gate');
  if (nearDuplicates) checkFilter(nearDuplicates, featureDim);
  if (quarantine && !(quarantine.marginShare >= 0 && quarantine.marginShare <= MARGIN_SHARE_MAX))
    throw invalid(`is not 0 to ${MARGIN_SHARE_MAX}`, 'spec.quarantine.margin_share');
  if (quarantine && quarantine.marginShare === 0 && !quarantine.flaggedHubs)
    throw invalid('holds nothing: leave it out, or say what it is to hold', 'spec.quarantine');
  const dataset = datasetOfRoot(root);
  if (tenantOf(root) !== tenant) throw invalid('the root lies in another tenant', 'spec.root');
  if (!(lambda >= LAMBDA_MIN && lambda <= LAMBDA_MAX))
    throw invalid(`lambda must be ${LAMBDA_MIN} to ${LAMBDA_MAX}, or 0 for the default`, 'spec.lambda');
  createFeatureMap({ seed: featureSeed, featureDim, inputWidth: 1 });
  const codebook = emptyCodebook(codeBits);
  await peers.vault.getDatasetRoot({ name: root });
  const { spec } = await peers.vault.getDataset({ name: dataset });
  const declared = decodeSpec(spec);
  checkModalities(modalities, declared);
  allocateClasses(codebook, declared.label.classes);
}
