/**
 * The plan and the ledger behind a certified claim, as its details carry them: recomputed here from FORMAT.md alone. This library does not import the one that
 * trains: a checker that shared its code would share its mistakes.
 */
import { canonicalJson, hex, sha256 } from '@lethe/std';
import type { Claim } from './body.ts';

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
  if (!isMembers(plan) || plan.format !== 'lethe-dp-plan-v1')
    return 'the plan is no canonical plan of version 1';
  if (digestOf('lethe/privacy/plan/v1', plan) !== details.planHash)
    return 'the plan hash is not that of the plan';
  if (details.ledgerOwner !== claim.artefact.replace('/models/', '/trainingRuns/')) {
    return 'the ledger is that of another training run';
  }
  const { guarantee } = claim;
  const stated = guarantee && [guarantee.delta, guarantee.unit, guarantee.neighboringRelation];
  const planned = [plan.delta, String(plan.unit).toUpperCase(), plan.relation];
  if (canonicalJson(stated) !== canonicalJson(planned)) {
    return 'delta, unit or relation of the guarantee are not those of the plan';
  }
  return refuseLedger(claim, details, plan) ?? refuseOpinion(claim);
}

/** Walks the chain: any charge that was dropped, repeated, altered, exchanged or brought in breaks it. */
function refuseLedger({ details: all }: Claim, details: Details, plan: Members): string | undefined {
  const charges = parsed(details.ledger);
  if (!Array.isArray(charges)) return 'the ledger is no canonical list of charges';
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
  if (typeof plan.steps !== 'number' || charged > plan.steps)
    return 'the ledger charges more steps than the plan has';
  return String(all.steps) === String(charged)
    ? undefined
    : 'the ledger charges another number of steps than the claim';
}

/** How far epsilon may be from what the independent accountant says: what grids and rounding give away. */
const AGREEMENT = 1e-3;

function refuseOpinion({ details, guarantee }: Claim): string | undefined {
  const { secondOpinion, epsilonIndependent, epsilonRdp } = details;
  if (secondOpinion === undefined) return undefined;
  const epsilon = guarantee?.epsilon ?? Number.NaN;
  if (secondOpinion === 'agreed') {
    const apart = Math.abs(epsilon - Number(epsilonIndependent));
    return apart <= AGREEMENT * Math.max(1, epsilon)
      ? undefined
      : 'the two accountants do not agree on epsilon';
  }
  if (secondOpinion !== 'not-possible') return 'the second opinion is neither agreed nor not-possible';
  return epsilon >= Number(epsilonRdp)
    ? undefined
    : 'without a second opinion epsilon has to be the larger of both bounds';
}
