/**
 * The plan and the ledger behind a certified claim, as its details carry them: recomputed here from FORMAT.md alone. This library does not import the one that
 * trains: a checker that shared its code would share its mistakes.
 */
import { canonicalJson, hex, sha256 } from '@lethe/std';
import type { Claim } from './body.ts';
import { ACCOUNTANT, ACCOUNTANT_EXPECTED, type Plan, refuseFields } from './plan-shape.ts';

/** Details that go together: with one of them all have to be there. */
const MEMBERS = ['plan', 'planHash', 'ledger', 'ledgerHead', 'ledgerOwner'] as const;

type Details = Readonly<Record<(typeof MEMBERS)[number], string>>;
type Members = Readonly<Record<string, unknown>>;

const digestOf = (tag: string, value: unknown): string => hex(sha256(`${tag}\0`, canonicalJson(value)));

const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The value of a canonical JSON text, or undefined. */
function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return canonicalJson(value) === text ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Why the claim's plan, ledger and guarantee do not belong together, or undefined; undefined as well for a claim that carries none. */
export function refusePlan(claim: Claim): string | undefined {
  const { artefact, details } = claim;
  const present = MEMBERS.filter((member) => Object.hasOwn(details, member));
  if (present.length === 0) return undefined;
  const wrong =
    present.length < MEMBERS.length || !present.every((member) => typeof details[member] === 'string')
      ? `of ${MEMBERS.join(', ')} some are missing or no text`
      : refuseDetails(claim, details as unknown as Details);
  return wrong && `${artefact}: ${wrong}`;
}

function refuseDetails(claim: Claim, details: Details): string | undefined {
  const plan = parsed(details.plan);
  if (plan === undefined) return 'the plan is no canonical JSON';
  if (digestOf('lethe/privacy/plan/v1', plan) !== details.planHash)
    return 'the plan hash is not that of the plan';
  return refuseFields(plan) ?? refuseClaim(claim, details, plan as Plan);
}

function refuseClaim(claim: Claim, details: Details, plan: Plan): string | undefined {
  if (details.ledgerOwner !== claim.artefact.replace('/models/', '/trainingRuns/')) {
    return 'the ledger is that of another training run';
  }
  const { guarantee } = claim;
  const stated = guarantee && [guarantee.delta, guarantee.unit, guarantee.neighboringRelation];
  const planned = [plan.delta, plan.unit.toUpperCase(), plan.relation];
  if (canonicalJson(stated) !== canonicalJson(planned)) {
    return 'delta, unit or relation of the guarantee are not those of the plan';
  }
  return refuseLedger(claim, details, plan) ?? refuseCopies(claim, plan) ?? refuseOpinion(claim);
}

/** What the claim says once more for a reader: it must be what the plan says. */
function refuseCopies({ method, details }: Claim, plan: Plan): string | undefined {
  const copies: Readonly<Record<string, string>> = {
    neighboringRelation: plan.relation,
    noiseMultiplier: String(plan.noise.multiplier),
    samplingProbability: String(plan.sampling.probability),
    l2ClipNorm: String(plan.clipping.l2ClipNorm),
  };
  const other = Object.keys(copies).find((name) => details[name] !== copies[name]);
  if (other !== undefined) return `the detail ${other} is missing or not the plan's`;
  if (method !== plan.mechanism) return `the method is not the plan's mechanism, ${plan.mechanism}`;
  // A run that was planned before an update may be priced by the accountants after it.
  if (typeof details.accountant !== 'string' || !ACCOUNTANT.test(details.accountant)) {
    return `the detail accountant ${ACCOUNTANT_EXPECTED}`;
  }
  const { randomSource = 'secure' } = details;
  return randomSource === 'secure' ? undefined : 'the noise did not come from a secure random source';
}

/** Walks the chain: any charge that was dropped, repeated, altered, exchanged or brought in breaks it. */
function refuseLedger({ details: all }: Claim, details: Details, plan: Plan): string | undefined {
  const charges = parsed(details.ledger);
  if (!Array.isArray(charges)) return 'the ledger is no canonical list of charges';
  if (charges.length === 0) return 'the ledger is empty: nothing was charged';
  const { planHash, ledgerOwner: owner } = details;
  let previous = digestOf('lethe/privacy/ledger/v1', { owner, planHash });
  let charged = 0;
  for (const [block, charge] of charges.entries()) {
    if (!isMembers(charge)) return `charge ${block} of the ledger is none`;
    const { digest, ...rest } = charge;
    const { steps } = rest;
    const follows =
      typeof steps === 'number' &&
      Number.isInteger(steps) &&
      steps >= 1 &&
      canonicalJson(rest) === canonicalJson({ block, firstStep: charged, planHash, previous, steps }) &&
      digest === digestOf('lethe/privacy/charge/v1', rest);
    if (!follows) return `charge ${block} of the ledger does not follow the one before it`;
    previous = digest;
    charged += steps;
  }
  if (previous !== details.ledgerHead) return 'the ledger does not end at its head';
  if (charged > plan.steps) return 'the ledger charges more steps than the plan has';
  return String(all.steps) === String(charged)
    ? undefined
    : 'the ledger charges another number of steps than the claim';
}

/** How far epsilon may be above what the independent accountant says: what grids, rounding and the charge for the sampler give away. */
const AGREEMENT = 1e-3;
/** How far it may be below: an upper bound is not below an estimate by more than the error of that. */
const ESTIMATE_ERROR = 1e-6;
/** Figures are rounded up to 6 digits behind the point, more than once. */
const ROUNDING = 1e-5;

/** A finite number of at least 0 from its shortest decimal text; any other spelling ('', '0x2', ' 1', '1.0', '-0', 'Infinity') is none. */
function decimal(text: unknown): number | undefined {
  const value = Number(text);
  return typeof text === 'string' && Number.isFinite(value) && value >= 0 && String(value) === text
    ? value
    : undefined;
}

function refuseOpinion({ details, guarantee }: Claim): string | undefined {
  const { secondOpinion, epsilonIndependent } = details;
  const epsilon = guarantee?.epsilon ?? Number.NaN;
  if (!(epsilon > 0 && Number.isFinite(epsilon))) return 'epsilon is not positive and finite';
  const rdp = decimal(details.epsilonRdp);
  if (rdp === undefined) return 'epsilonRdp is missing or no decimal number of at least 0';
  switch (secondOpinion) {
    case 'agreed': {
      const independent = decimal(epsilonIndependent);
      if (independent === undefined)
        return 'epsilonIndependent is missing or no decimal number of at least 0';
      const above = epsilon - independent;
      const scale = Math.max(1, epsilon);
      if (above > AGREEMENT * scale || above < -ESTIMATE_ERROR * scale) {
        return 'the two accountants do not agree on epsilon';
      }
      return epsilon <= rdp + ROUNDING ? undefined : 'epsilon is above the bound that epsilonRdp states';
    }
    case 'not-possible':
      if (epsilonIndependent !== 'none') return 'without a second opinion epsilonIndependent must be none';
      return epsilon >= rdp
        ? undefined
        : 'without a second opinion epsilon has to be the larger of both bounds';
    default:
      return 'the second opinion is missing, or neither agreed nor not-possible';
  }
}
