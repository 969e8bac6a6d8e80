/**
 * WebAssembly text of the analytic head's inner loops, built by `build.ts` into
 * libs/hashing/src/kernel/module.ts.
 *
 * Integer loops (`pack`, `products`, `features`) are exact. Float64 loops (`tile`, `column`, `substitute`) run over several results
 * at once, never over the terms of one result: each sum keeps the order of its terms, and WebAssembly has no fused multiply-add
 * outside of relaxed SIMD. Their bits therefore equal those of the plain loops in libs/hashing/src/kernel/kernel.test.ts.
 *
 * Layouts, all little-endian:
 *   pairs    int16 [panels of 8 features][pairs of items][8 features][2 items]: one `i32x4.dot_i16x8_s` sums two items
 *   quads    float64 [panels of 4 rows][length][4]: four rows side by side
 */

const lines = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');
const locals = (type: string, ...names: readonly string[]): string =>
  names.map((name) => `(local $${name} ${type})`).join(' ');
const named = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => prefix + i);
/** `body` while the counter is below the bound. */
const loop = (counter: string, below: string, step: number, body: string): string => `
  (block $${counter}_end (loop $${counter}_next
    (br_if $${counter}_end (i32.ge_s (local.get $${counter}) ${below}))
    ${body}
    (local.set $${counter} (i32.add (local.get $${counter}) (i32.const ${step})))
    (br $${counter}_next)))`;

/** Two bytes of features to pairs of int16. `rows` holds 2 * pairs rows of `width` bytes, the last of them zero if need be. */
const pack = `
(func (export "pack") (param $rows i32) (param $width i32) (param $panels i32) (param $pairs i32) (param $out i32)
  ${locals('i32', 'panel', 'pair', 'from')} (local $v v128)
  ${loop(
    'panel',
    '(local.get $panels)',
    1,
    `(local.set $pair (i32.const 0))
     (local.set $from (i32.add (local.get $rows) (i32.shl (local.get $panel) (i32.const 3))))
     ${loop(
       'pair',
       '(local.get $pairs)',
       1,
       `(local.set $v (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23
          (v128.load64_zero (local.get $from))
          (v128.load64_zero (i32.add (local.get $from) (local.get $width)))))
        (v128.store (local.get $out) (i16x8.extend_low_i8x16_s (local.get $v)))
        (v128.store offset=16 (local.get $out) (i16x8.extend_high_i8x16_s (local.get $v)))
        (local.set $out (i32.add (local.get $out) (i32.const 32)))
        (local.set $from (i32.add (local.get $from) (i32.shl (local.get $width) (i32.const 1))))`,
     )}`,
  )})`;

/** 1 if a byte of [from, from + 16 * count) is above 127. */
const anyHigh = `
(func (export "anyHigh") (param $from i32) (param $count i32) (result i32) (local $at i32) (local $or v128)
  ${loop(
    'at',
    '(local.get $count)',
    1,
    `(local.set $or (v128.or (local.get $or) (v128.load (local.get $from))))
     (local.set $from (i32.add (local.get $from) (i32.const 16)))`,
  )}
  (i32.ne (i8x16.bitmask (local.get $or)) (i32.const 0)))`;

/**
 * out[row][column] += sign * sum over pairs of b[row] a[column]; rows are the features of `b`, columns those of `a`, 8 x 4 at once.
 * With `lower` = 1 only panels of columns up to the panel of the rows. `stride` is a row of `out` in bytes.
 */
const products = `
(func (export "products") (param $a i32) (param $aPanels i32) (param $b i32) (param $bPanels i32) (param $pairs i32)
  (param $out i32) (param $stride i32) (param $sign f64) (param $lower i32)
  ${locals('i32', 'row', 'column', 'columns', 'pair', 'x', 'y', 'to', 'panelBytes')}
  ${locals('v128', 'x0', 'x1', 'y0', 'scale', ...named('s', 8))}
  (local.set $scale (f64x2.splat (local.get $sign)))
  (local.set $panelBytes (i32.shl (local.get $pairs) (i32.const 5)))
  ${loop(
    'row',
    '(i32.shl (local.get $bPanels) (i32.const 1))',
    1,
    `(local.set $columns (select (i32.add (i32.shr_u (local.get $row) (i32.const 1)) (i32.const 1)) (local.get $aPanels) (local.get $lower)))
     (local.set $column (i32.const 0))
     ${loop(
       'column',
       '(local.get $columns)',
       1,
       `(local.set $x (i32.add (local.get $a) (i32.mul (local.get $column) (local.get $panelBytes))))
        (local.set $y (i32.add (i32.add (local.get $b) (i32.mul (i32.shr_u (local.get $row) (i32.const 1)) (local.get $panelBytes)))
          (i32.shl (i32.and (local.get $row) (i32.const 1)) (i32.const 4))))
        ${lines(8, (i) => `(local.set $s${i} (v128.const i32x4 0 0 0 0))`)}
        (local.set $pair (i32.const 0))
        ${loop(
          'pair',
          '(local.get $pairs)',
          1,
          `(local.set $x0 (v128.load (local.get $x)))
           (local.set $x1 (v128.load offset=16 (local.get $x)))
           ${lines(
             4,
             (r) => `(local.set $y0 (v128.load32_splat offset=${4 * r} (local.get $y)))
           (local.set $s${2 * r} (i32x4.add (local.get $s${2 * r}) (i32x4.dot_i16x8_s (local.get $x0) (local.get $y0))))
           (local.set $s${2 * r + 1} (i32x4.add (local.get $s${2 * r + 1}) (i32x4.dot_i16x8_s (local.get $x1) (local.get $y0))))`,
           )}
           (local.set $x (i32.add (local.get $x) (i32.const 32)))
           (local.set $y (i32.add (local.get $y) (i32.const 32)))`,
        )}
        (local.set $to (i32.add (i32.add (local.get $out) (i32.mul (i32.shl (local.get $row) (i32.const 2)) (local.get $stride)))
          (i32.shl (local.get $column) (i32.const 6))))
        ${lines(
          4,
          (r) => `${lines(4, (h) => {
            const sum = `(local.get $s${2 * r + (h >> 1)})`;
            const two =
              h & 1 ? `(i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 ${sum} ${sum})` : sum;
            return `(v128.store offset=${16 * h} (local.get $to) (f64x2.add (v128.load offset=${16 * h} (local.get $to))
              (f64x2.mul (local.get $scale) (f64x2.convert_low_i32x4_s ${two}))))`;
          })}
        (local.set $to (i32.add (local.get $to) (local.get $stride)))`,
        )}`,
     )}`,
  )})`;

const tileLocals = locals('v128', 'a0', 'a1', 'b0', ...named('s', 8));
/** s[2c + h] = sum over t < length, in this order, of b[t][c] * a[t][2h, 2h + 1]; `x`, `y` walk, `t` counts. */
const tileSums = (length: string): string => `
  ${lines(8, (i) => `(local.set $s${i} (v128.const f64x2 0 0))`)}
  (local.set $t (i32.const 0))
  ${loop(
    't',
    length,
    1,
    `(local.set $a0 (v128.load (local.get $x)))
     (local.set $a1 (v128.load offset=16 (local.get $x)))
     ${lines(
       4,
       (c) => `(local.set $b0 (v128.load64_splat offset=${8 * c} (local.get $y)))
     (local.set $s${2 * c} (f64x2.add (local.get $s${2 * c}) (f64x2.mul (local.get $a0) (local.get $b0))))
     (local.set $s${2 * c + 1} (f64x2.add (local.get $s${2 * c + 1}) (f64x2.mul (local.get $a1) (local.get $b0))))`,
     )}
     (local.set $x (i32.add (local.get $x) (i32.const 32)))
     (local.set $y (i32.add (local.get $y) (i32.const 32)))`,
  )}`;

/** out[c][r] of one tile: 16 dot products of `length` terms. */
const tile = `
(func (export "tile") (param $x i32) (param $y i32) (param $length i32) (param $out i32) (local $t i32) ${tileLocals}
  ${tileSums('(local.get $length)')}
  ${lines(8, (i) => `(v128.store offset=${16 * i} (local.get $out) (local.get $s${i}))`)})`;

/** Tiles of all panels of x against all panels of y, one after the other. */
const tiles = `
(func (export "tiles") (param $xs i32) (param $xPanels i32) (param $ys i32) (param $yPanels i32) (param $length i32) (param $out i32)
  ${locals('i32', 'i', 'j', 't', 'x', 'y', 'panelBytes')} ${tileLocals}
  (local.set $panelBytes (i32.shl (local.get $length) (i32.const 5)))
  ${loop(
    'i',
    '(local.get $yPanels)',
    1,
    `(local.set $j (i32.const 0))
     ${loop(
       'j',
       '(local.get $xPanels)',
       1,
       `(local.set $x (i32.add (local.get $xs) (i32.mul (local.get $j) (local.get $panelBytes))))
        (local.set $y (i32.add (local.get $ys) (i32.mul (local.get $i) (local.get $panelBytes))))
        ${tileSums('(local.get $length)')}
        ${lines(8, (i) => `(v128.store offset=${16 * i} (local.get $out) (local.get $s${i}))`)}
        (local.set $out (i32.add (local.get $out) (i32.const 128)))`,
     )}`,
  )})`;

const at = (panel: string, k: number, h: number): string => `offset=${32 * k + 16 * h} (local.get $${panel})`;
/**
 * Columns j..j+3 of the lower Cholesky factor, in place, for the panels below the diagonal one, whose own columns are final.
 * m in quads [dim / 4][dim][4].
 */
const column = `
(func (export "column") (param $m i32) (param $j i32) (param $dim i32)
  ${locals('i32', 'i', 't', 'x', 'y', 'panelBytes', 'top', 'here')} ${tileLocals} ${locals('v128', ...named('v', 8))}
  (local.set $panelBytes (i32.shl (local.get $dim) (i32.const 5)))
  (local.set $top (i32.add (i32.add (local.get $m) (i32.mul (i32.shr_u (local.get $j) (i32.const 2)) (local.get $panelBytes)))
    (i32.shl (local.get $j) (i32.const 5))))
  (local.set $here (local.get $top))
  (local.set $i (i32.add (local.get $j) (i32.const 4)))
  ${loop(
    'i',
    '(local.get $dim)',
    4,
    `(local.set $here (i32.add (local.get $here) (local.get $panelBytes)))
     (local.set $x (i32.sub (local.get $here) (i32.shl (local.get $j) (i32.const 5))))
     (local.set $y (i32.sub (local.get $top) (i32.shl (local.get $j) (i32.const 5))))
     ${tileSums('(local.get $j)')}
     ${lines(8, (i) => {
       const [c, h] = [i >> 1, i & 1];
       const start = `(local.set $v${i} (f64x2.sub (v128.load ${at('here', c, h)}) (local.get $s${i})))`;
       const less = lines(
         c,
         (k) =>
           `(local.set $v${i} (f64x2.sub (local.get $v${i}) (f64x2.mul (local.get $v${2 * k + h}) (v128.load64_splat offset=${32 * k + 8 * c} (local.get $top)))))`,
       );
       return `${start} ${less}
         (local.set $v${i} (f64x2.div (local.get $v${i}) (v128.load64_splat offset=${40 * c} (local.get $top))))
         (v128.store ${at('here', c, h)} (local.get $v${i}))`;
     })}`,
  )})`;

const entry = (by: string): string => `(v128.load64_splat (i32.add (i32.add (local.get $line)
  (i32.mul (i32.shr_u ${by} (i32.const 2)) (local.get $acrossPanel)))
  (i32.mul (i32.and ${by} (i32.const 3)) (local.get $across))))`;
const plus = (by: string, n: number): string =>
  n === 0 ? `(local.get $${by})` : `(i32.add (local.get $${by}) (i32.const ${n}))`;
/**
 * Subtracts from one row of 8 columns of w the products with rows [from, to), four rows at a time, then divides by the diagonal.
 * Entry `by` of m's line: line + (by / 4) * acrossPanel + (by % 4) * across.
 */
const substituteRow = `
(func $row (param $w i32) (param $i i32) (param $from i32) (param $to i32) (param $line i32) (param $across i32)
  (param $acrossPanel i32) (param $diagonal f64)
  ${locals('i32', 'by', 'four', 'source', 'target')} ${locals('v128', 'd', ...named('s', 4), ...named('m', 4))}
  (local.set $target (i32.add (local.get $w) (i32.shl (local.get $i) (i32.const 6))))
  ${lines(4, (h) => `(local.set $s${h} (v128.load offset=${16 * h} (local.get $target)))`)}
  (local.set $four (i32.add (local.get $from) (i32.and (i32.sub (local.get $to) (local.get $from)) (i32.const -4))))
  (local.set $source (i32.add (local.get $w) (i32.shl (local.get $from) (i32.const 6))))
  (local.set $by (local.get $from))
  ${loop(
    'by',
    '(local.get $four)',
    4,
    `${lines(4, (q) => `(local.set $m${q} ${entry(plus('by', q))})`)}
     ${lines(4, (h) => {
       const term = (q: number) =>
         `(f64x2.mul (local.get $m${q}) (v128.load offset=${64 * q + 16 * h} (local.get $source)))`;
       return `(local.set $s${h} (f64x2.sub (local.get $s${h}) (f64x2.add (f64x2.add (f64x2.add ${term(0)} ${term(1)}) ${term(2)}) ${term(3)})))`;
     })}
     (local.set $source (i32.add (local.get $source) (i32.const 256)))`,
  )}
  (block $tail_end (loop $tail
    (br_if $tail_end (i32.ge_s (local.get $by) (local.get $to)))
    (local.set $m0 ${entry('(local.get $by)')})
    ${lines(4, (h) => `(local.set $s${h} (f64x2.sub (local.get $s${h}) (f64x2.mul (local.get $m0) (v128.load offset=${16 * h} (local.get $source)))))`)}
    (local.set $source (i32.add (local.get $source) (i32.const 64)))
    (local.set $by (i32.add (local.get $by) (i32.const 1)))
    (br $tail)))
  (local.set $d (f64x2.splat (local.get $diagonal)))
  ${lines(4, (h) => `(v128.store offset=${16 * h} (local.get $target) (f64x2.div (local.get $s${h}) (local.get $d)))`)})`;

/** w := (L Lᵀ)⁻¹ w for w float64 [panels of 8 columns][dim][8]. */
const substitute = `
(func (export "substitute") (param $m i32) (param $dim i32) (param $w i32) (param $panels i32)
  ${locals('i32', 'p', 'i', 'panelBytes', 'line')} (local $diagonal f64)
  (local.set $panelBytes (i32.shl (local.get $dim) (i32.const 5)))
  ${loop(
    'p',
    '(local.get $panels)',
    1,
    `(local.set $i (i32.const 0))
     ${loop(
       'i',
       '(local.get $dim)',
       1,
       `(local.set $line (i32.add (i32.add (local.get $m) (i32.mul (i32.shr_u (local.get $i) (i32.const 2)) (local.get $panelBytes)))
          (i32.shl (i32.and (local.get $i) (i32.const 3)) (i32.const 3))))
        (local.set $diagonal (f64.load (i32.add (local.get $line) (i32.shl (local.get $i) (i32.const 5)))))
        (call $row (local.get $w) (local.get $i) (i32.const 0) (local.get $i) (local.get $line) (i32.const 32) (i32.const 128) (local.get $diagonal))`,
     )}
     (local.set $i (i32.sub (local.get $dim) (i32.const 1)))
     (loop $back
       (local.set $line (i32.add (local.get $m) (i32.shl (local.get $i) (i32.const 5))))
       (local.set $diagonal (f64.load (i32.add (i32.add (local.get $line)
         (i32.mul (i32.shr_u (local.get $i) (i32.const 2)) (local.get $panelBytes)))
         (i32.shl (i32.and (local.get $i) (i32.const 3)) (i32.const 3)))))
       (call $row (local.get $w) (local.get $i) (i32.add (local.get $i) (i32.const 1)) (local.get $dim) (local.get $line) (i32.const 8) (local.get $panelBytes) (local.get $diagonal))
       (local.set $i (i32.sub (local.get $i) (i32.const 1)))
       (br_if $back (i32.ge_s (local.get $i) (i32.const 0))))
     (local.set $w (i32.add (local.get $w) (i32.shl (local.get $dim) (i32.const 6))))`,
  )})`;

/**
 * Features of 16 items at once: x int16 [columns][16]; `table` per unit: 16 byte offsets into x that are added, 16 that are
 * subtracted, the threshold (int32 each). out uint8 [units][16].
 */
const features = `
(func (export "features") (param $x i32) (param $table i32) (param $units i32) (param $scale i32) (param $out i32)
  ${locals('i32', 'unit', 'from')} ${locals('v128', 's0', 's1', 'k', 'most', 'lo', 'hi')}
  (local.set $k (i16x8.splat (local.get $scale)))
  (local.set $most (i16x8.splat (i32.const 127)))
  ${loop(
    'unit',
    '(local.get $units)',
    1,
    `(local.set $s0 (i16x8.neg (i16x8.splat (i32.load offset=128 (local.get $table)))))
     (local.set $s1 (local.get $s0))
     ${lines(32, (i) => {
       const op = i < 16 ? 'i16x8.add' : 'i16x8.sub';
       return `(local.set $from (i32.add (local.get $x) (i32.load offset=${4 * i} (local.get $table))))
         (local.set $s0 (${op} (local.get $s0) (v128.load (local.get $from))))
         (local.set $s1 (${op} (local.get $s1) (v128.load offset=16 (local.get $from))))`;
     })}
     ${lines(
       2,
       (i) => `(local.set $s${i} (i16x8.max_s (local.get $s${i}) (v128.const i16x8 0 0 0 0 0 0 0 0)))
     (local.set $lo (i32x4.shr_u (i32x4.extmul_low_i16x8_s (local.get $s${i}) (local.get $k)) (i32.const 16)))
     (local.set $hi (i32x4.shr_u (i32x4.extmul_high_i16x8_s (local.get $s${i}) (local.get $k)) (i32.const 16)))
     (local.set $s${i} (i16x8.min_s (local.get $most) (i16x8.narrow_i32x4_s (local.get $lo) (local.get $hi))))`,
     )}
     (v128.store (local.get $out) (i8x16.narrow_i16x8_u (local.get $s0) (local.get $s1)))
     (local.set $out (i32.add (local.get $out) (i32.const 16)))
     (local.set $table (i32.add (local.get $table) (i32.const 132)))`,
  )})`;

export const WAT = `(module
(memory (export "memory") 1)
${[pack, anyHigh, products, tile, tiles, column, substituteRow, substitute, features].join('\n')})`;
