/**
 * From a request to the evidence, in an index of a million codes: `node services/hashing/src/hashing-erasure.bench.ts [--json] [--persons 20] [--wide 20]`.
 *
 * On a nats-server of its own on loopback; the vault is a peer in this process that keeps keys in memory. Timed from the append of
 * `erasure.requested` to the fact `hash.erased` that carries the claims, and on to the end of a byte scan of the server's whole store
 * directory for the erased items' salts and feature rows. Persons of two items in two segments and two blocks (`--persons`), and persons
 * of twenty items in all sixteen segments and twenty blocks (`--wide`), in turns.
 *
 * The state is made and not learned: 4,096 synthetic rows, 245 times over, each copy with ids, salts and persons of its own; their sums
 * are 245 times those of one copy. So building it takes seconds; what an erasure does with it is what it does with any state.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectJetStream, ensurePlatformStreams, openNats } from '@lethe/events';
import { assert, fromHex, secureRandom, sleep } from '@lethe/std';
import { scan } from '@lethe/store';
import { BLOCK_ROWS } from './domain/blocks.ts';
import { decodeNeedles } from './domain/evidence.ts';
import { DATASET, TENANT, World } from './fixture.ts';
import { contextOf } from './index.ts';
import { makeState } from './made-state.fixture.ts';

const json = process.argv.includes('--json');
const say = json ? console.error : console.log;
const option = (name: string, value: number): number => {
  const at = process.argv.indexOf(`--${name}`);
  return at === -1 ? value : Number(process.argv[at + 1]);
};
const PERSONS = option('persons', 20);
const WIDE = option('wide', 20);
const COPIES = option('blocks', 245);
const FEATURES = 768;
const BITS = 64;
const SIZE = COPIES * BLOCK_ROWS;
const BAR_SECONDS = 5;
/** How long the service is up before the first request. */
const UP_MS = option('up', 10_000);

/** Items of a wide person, as far from each other as they can be. */
const WIDE_ITEMS = 20;

/** Person of an item: the second item of most lies half the index behind the first, the first items of every twentieth are wide persons'. */
function personOf(position: number): string {
  const wide = position % (SIZE / WIDE_ITEMS);
  return wide < WIDE ? `w${wide}` : `p${position % (SIZE / 2)}`;
}

const seconds = (sinceMs: number): number => (performance.now() - sinceMs) / 1_000;
const spread = (values: readonly number[]) => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!;
  return { p50: at(0.5), p99: at(0.99), least: sorted[0]!, most: sorted.at(-1)!, n: sorted.length };
};

const directory = mkdtempSync(join(tmpdir(), 'hashing-erasure-'));
const loadBefore = loadavg()[0]!;
const storeBytesMax = 6 * 2 ** 30;
const { url, server } = await openNats({
  environment: { PATH: process.env.PATH },
  announce: say,
  directory,
  storeBytesMax,
});
assert(server, 'the server is ours');
const bus = await connectJetStream({ url, name: 'hashing-erasure-bench' });
try {
  await ensurePlatformStreams(bus, { limits: { artefactsBytesMax: 4 * 2 ** 30 } });
  const world = new World(bus);
  world.commitRoot([]);
  const buildMs = performance.now();
  await makeState(world, { copies: COPIES, featureDim: FEATURES, codeBits: BITS, personOf });
  say(`built ${SIZE} codes in ${seconds(buildMs).toFixed(1)} s`);
  const { api, close } = await world.service();
  const openMs = performance.now();
  await api.search({ $case: 'code', value: new Uint8Array(BITS / 8) }, 10);
  const opened = seconds(openMs);
  say(`opened by a new process in ${opened.toFixed(2)} s`);
  // A service hashes the ledger's subtrees between answers once it has opened an index; before that, an erasure does what is left of it.
  await sleep(UP_MS);
  const plant = { kind: 'planted', bytes: secureRandom().bytes(32) };
  const planted = join(directory, 'planted');
  writeFileSync(planted, plant.bytes);
  assert((await scan([directory], [plant])).found.planted === 1, 'the scan finds what is there');
  rmSync(planted);
  const groups = [
    {
      items: 2,
      persons: PERSONS,
      aliasOf: (person: number) => personOf(Math.floor(((person + 0.37) * SIZE) / 2 / PERSONS)),
    },
    { items: WIDE_ITEMS, persons: WIDE, aliasOf: (person: number) => `w${person}` },
  ].map((group) => ({ ...group, toFact: [] as number[], toEvidence: [] as number[], rewritten: '' }));
  let residual = 0;
  let scanned = 0;
  let leaves = 0;
  for (let turn = 0; turn < Math.max(PERSONS, WIDE); turn++) {
    for (const group of groups.filter(({ persons }) => turn < persons)) {
      const alias = group.aliasOf(turn);
      const erasure = `e-${alias}`;
      const startMs = performance.now();
      await world.request(alias, erasure);
      await world.contained(erasure);
      await world.startErasure(alias, [], erasure);
      const { claims, needles } = await world.erased(erasure, 60_000);
      const toFact = seconds(startMs);
      const opener = contextOf(world.deps).functions.sealed;
      const found = decodeNeedles(await opener.get(TENANT, needles!));
      const report = await scan(
        [directory],
        found.map(({ kind, hex }) => ({ kind, bytes: fromHex(hex) })),
      );
      const toEvidence = seconds(startMs);
      residual += Object.values(report.found).reduce((sum, count) => sum + count, 0);
      scanned = report.bytes;
      const { details } = claims.find(({ kind }) => kind === 'HASH_INDEX')!;
      leaves += Number(details.erasedLeaves);
      group.toFact.push(toFact);
      group.toEvidence.push(toEvidence);
      group.rewritten = `${details.segmentsRewritten} segments, ${details.blocksRewritten} blocks`;
      say(
        `${erasure}: ${toFact.toFixed(2)} s, with scan ${toEvidence.toFixed(2)} s; ${group.rewritten}; churn ${details.churn}`,
      );
    }
  }
  await close();
  const expected = groups.reduce((sum, { items, persons }) => sum + items * persons, 0);
  const figures = groups
    .filter(({ persons }) => persons > 0)
    .map(({ items, persons, toFact, toEvidence, rewritten }) => {
      const measured = spread(toEvidence);
      const met = measured.p99 <= BAR_SECONDS && residual === 0 && leaves === expected;
      say(
        `${items} items: p50 ${measured.p50.toFixed(2)} s, p99 (of ${persons}: the most) ${measured.p99.toFixed(2)} s, residual ${residual}: ${met ? 'met' : 'NOT MET'}`,
      );
      return {
        what: `erasure request to evidence, a person of ${items} items`,
        unit: 'seconds',
        codes: SIZE,
        featureDim: FEATURES,
        rewritten,
        bus: 'nats-server on loopback, its store on disk; vault in process',
        bar: `p99 <= ${BAR_SECONDS}, 0 residual bytes, only erased leaves changed`,
        measured,
        toFact: spread(toFact),
        openSeconds: opened,
        upSeconds: UP_MS / 1_000,
        residualOccurrences: residual,
        scannedBytes: scanned,
        erasedLeaves: leaves,
        expectedLeaves: expected,
        met,
        baseline: {
          what: 'reading everything once: the scan alone',
          measured: spread(toEvidence.map((all, i) => all - toFact[i]!)),
        },
      };
    });
  const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, Node ${process.version}`;
  if (json)
    console.log(
      JSON.stringify({ bench: 'hashing-erasure', machine, loadBefore, dataset: DATASET, figures }, null, 2),
    );
} finally {
  await bus.close();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
}
