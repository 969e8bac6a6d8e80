import { common, type events, partyArtefact } from '@lethe/contracts';

const METHOD = 'rows-deleted-and-retrained-from-initial-weights';

type Digests = Pick<events.FederationTrained, 'digest' | 'parties'>;

const digestOf = (version: Digests | undefined, party: string): string =>
  version?.parties.find((status) => status.party === party)?.modelDigest ?? '';

/**
 * One claim for the federation and one for each party's model, which needs that party's attestation.
 * @param before and after are the same where no row of the batch was ever used
 */
export function claims(
  name: string,
  parties: readonly string[],
  before: Digests | undefined,
  after: Digests | undefined,
  details: Readonly<Record<string, string>>,
): common.ArtefactClaim[] {
  const claim = (artefact: string, owner: string, digestBefore: string, digestAfter: string) => ({
    artefact,
    kind: 'VERTICAL_MODEL',
    owner,
    claim: common.Claim.CLAIM_ERASED_EXACT,
    epsilon: 0,
    delta: 0,
    unit: '',
    digestBefore,
    digestAfter,
    method: before === after ? 'none' : METHOD,
    details: { ...details },
  });
  return [
    claim(name, 'federation', before?.digest ?? '', after?.digest ?? ''),
    ...parties.map((party) =>
      claim(partyArtefact(name, party), `parties/${party}`, digestOf(before, party), digestOf(after, party)),
    ),
  ];
}

export const claimedArtefacts = (name: string, parties: readonly string[]): string[] => [
  name,
  ...parties.map((party) => partyArtefact(name, party)),
];
