import { defineErrors } from '@lethe/std';

export const MERKLE = defineErrors({
  OUT_OF_TREE: {
    code: 'LETHE-1201',
    status: 'OUT_OF_RANGE',
    remedy: 'Ask for an index below the size, and a size that the tree has reached.',
  },
  NOT_DISTINCT: {
    code: 'LETHE-1202',
    status: 'INVALID_ARGUMENT',
    remedy: 'Leaves of a sorted tree are a set: blind each record with a salt of its own.',
  },
  NOT_A_MEMBER: {
    code: 'LETHE-1203',
    status: 'NOT_FOUND',
    remedy: 'Ask for a proof of absence instead.',
  },
  IS_A_MEMBER: {
    code: 'LETHE-1204',
    status: 'FAILED_PRECONDITION',
    remedy: 'Remove the leaf and commit a new root before proving its absence.',
  },
});
