/** What the port promises about deletion, looked at on the disk of a real server. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ensurePlatformStreams, ObjectStore, recordSubject, STREAMS } from '@lethe/events';
import { seededRandom } from '@lethe/std';
import { piecesOf, provenScan, scan, streamPlant } from '@lethe/store';
import { startSingle } from './servers.ts';

const single = await startSingle();
after(() => single.stop());

test('securely deleted messages and objects leave no bytes on one server; the planted copies prove the scan', async () => {
  const bus = await single.open('erased');
  try {
    await ensurePlatformStreams(bus);
    const random = seededRandom('erased-bytes');
    const stores = single.servers.map((server) => server.storeDirectory);
    const records = Array.from({ length: 400 }, (_, i) => ({
      alias: `a${i % 100}`,
      sealed: random.bytes(800),
    }));
    const answers = await bus.appendMany(
      STREAMS.records,
      records.map(({ alias, sealed }, i) => ({
        subject: recordSubject('acme', 'digits', alias),
        message: { id: `r${i}`, data: sealed },
      })),
    );
    const objects = new ObjectStore(bus);
    const model = random.bytes(700_000);
    const digest = await objects.put('acme', model);

    const erased = records.flatMap((record, i) =>
      record.alias === 'a7' ? [{ ...record, at: answers[i]?.sequence ?? 0 }] : [],
    );
    assert.equal(erased.length, 4);
    const needles = [
      ...erased.flatMap(({ sealed }) => piecesOf('record', sealed)),
      ...piecesOf('object', model),
    ];
    const kept = records
      .filter(({ alias }) => alias !== 'a7')
      .flatMap(({ sealed }) => piecesOf('kept', sealed));
    const before = await scan(stores, needles);
    assert.deepEqual(before.found, { record: 12, object: 3 });

    for (const { at } of erased) assert.ok(await bus.deleteMessageSecurely(STREAMS.records, at));
    await objects.delete('acme', digest);
    const plants = [STREAMS.records, STREAMS.events, STREAMS.artefacts, STREAMS.deadLetters].map((stream) =>
      streamPlant(
        bus,
        stream,
        {
          [STREAMS.records]: recordSubject('acme', 'digits', 'planted'),
          [STREAMS.events]: 'lethe.v1.acme.planted.0.planted',
          [STREAMS.artefacts]: 'lethe.artefacts.v1.acme.planted',
          [STREAMS.deadLetters]: 'lethe.dead.v1.planted',
        }[stream],
      ),
    );
    const proven = await provenScan(stores, [...needles, ...kept], plants, { patienceMs: 2_000 });
    assert.deepEqual({ found: proven.plantedFound, left: proven.plantedLeft }, { found: 4, left: 0 });
    assert.deepEqual(
      {
        record: proven.report.found.record,
        object: proven.report.found.object,
        kept: proven.report.found.kept,
      },
      { record: 0, object: 0, kept: 396 * 3 },
    );
  } finally {
    await bus.close();
  }
});
