export { PARTY } from './errors.ts';
export { bottomPlan, type PartyProgress, partySeed } from './half.ts';
export { decodeRows, encodeRows, type PartyRows, RowStore, writeRowsFile } from './rows.ts';
export { loadOrCreateKey, type PartyOptions, type RunningParty, runParty } from './run-party.ts';
