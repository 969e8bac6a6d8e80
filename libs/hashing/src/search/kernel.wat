;; The inner loop of exact search over binary codes: 16 codes an instruction.
;;
;; LAYOUT. Sixteen codes are a block; a block has a plane of 16 bytes for every byte of a code, so that plane j holds byte j of the 16
;; codes and lane l of a vector always belongs to code l:
;;
;;              lane  0    1    2   ...   15
;;     plane 0      [c0.0 c1.0 c2.0 ... c15.0]      <- one v128.load
;;     plane 1      [c0.1 c1.1 c2.1 ... c15.1]
;;     ...                                          W bits: W / 8 planes, 2 W bytes a block, blocks one after the other
;;
;; DISTANCE. plane XOR query byte (repeated 16 times) marks the differing bits; the bits of all planes are counted lane by lane, and
;; the result is one vector of 16 distances. No step adds across lanes.
;;
;; COUNTING. A byte-wise popcount costs about ten instructions on x64 (two table look-ups), a carry-save adder five: it turns three
;; words of weight w into one of weight w and one of weight 2 w, bit by bit. So eight planes become words of weight 1, 1, 2 and 4, and
;; four popcounts do instead of eight; 32 planes (256 bits) need six instead of 32. (Harley and Seal; Mula, Kurz and Lemire 2016,
;; "Faster Population Counts Using AVX2 Instructions". Ours runs over planes of 16 codes, not over one long bit string.)
;;
;; TOP K WITHOUT A HEAP. `limit` is the distance of the k-th nearest so far; one comparison of a vector with it shows whether any of
;; 16 codes matters, and after the first few thousand codes that is rare. A code at distance d <= limit becomes a candidate and is
;; counted in a histogram; as soon as k codes lie below the limit, the limit falls. Ties at the limit stay candidates, for they are
;; decided by item id, outside. With k = 2^31 - 1 the limit never falls: that is the search within a radius.
;;
;; A distance of 256 is counted as 255 (bytes saturate); whoever reads candidates of 256-bit codes at 255 must count again.
;;
;; This file is WebAssembly text with three directives, expanded by test/tools/search-kernel/build.ts: `#macro name(a, b)` ... `#end`, a use `name(x, y)` on a
;; line of its own, and `#for i in 0 1 2` ... `#end`. `{a}` is replaced by its value, `{16 * i + 8}` is computed.
;;
;; STATE of one search, at an address that the caller chooses, little-endian:
;;        0 k   4 limit   8 below: codes counted at distances < limit   12 candidates   16 room for candidates   20 address of them
;;       64 histogram [256] u32     1152 query [32][16]: byte j repeated 16 times     1664 distances of a step [64]
;;     1728 query [32]
;;     2048 tables [32][2][16]: bits in which 0, 1, … 15 differ from the lower half of byte j, and from its upper half
;; A candidate is u32 lane, u32 distance.

(module
  (import "lethe" "memory" (memory 1 MEMORY_LIMITS))

  ;; sum, carry <- a + b + c, bit by bit; sum may be a, carry must be none of them.
  #macro add3(sum, carry, a, b, c)
    (local.set $u (v128.xor (local.get {a}) (local.get {b})))
    (local.set {carry} (v128.or
      (v128.and (local.get {a}) (local.get {b}))
      (v128.and (local.get $u) (local.get {c}))))
    (local.set {sum} (v128.xor (local.get $u) (local.get {c})))
  #end

  ;; x <- differing bits of plane j of the block at $p.
  #macro diff(x, j)
    (local.set {x} (v128.xor
      (v128.load offset={16 * j} (local.get $p))
      (local.get $q{j})))
  #end

  #macro count(to, x)
    (local.set {to} (i8x16.popcnt (local.get {x})))
  #end

  ;; d <- 2 d + bits of x.
  #macro double_and_count(d, x)
    (local.set {d} (i8x16.add_sat_u
      (i8x16.add_sat_u (local.get {d}) (local.get {d}))
      (i8x16.popcnt (local.get {x}))))
  #end

  #macro and_count(d, x)
    (local.set {d} (i8x16.add_sat_u (local.get {d}) (i8x16.popcnt (local.get {x}))))
  #end

  #macro distance8(d)
    diff($a, 0)
    count({d}, $a)
  #end

  #macro distance16(d)
    diff($a, 0)
    count({d}, $a)
    diff($a, 1)
    and_count({d}, $a)
  #end

  #macro distance32(d)
    diff($a, 0)
    diff($b, 1)
    diff($c, 2)
    diff($ones, 3)
    add3($a, $twos, $a, $b, $c)
    count({d}, $twos)
    double_and_count({d}, $a)
    and_count({d}, $ones)
  #end

  ;; Planes 0..6 to $ones, $twos, $fours.
  #macro first_seven()
    diff($ones, 0)
    diff($a, 1)
    diff($b, 2)
    add3($ones, $t1, $ones, $a, $b)
    diff($a, 3)
    diff($b, 4)
    add3($ones, $t2, $ones, $a, $b)
    diff($a, 5)
    diff($b, 6)
    add3($ones, $t3, $ones, $a, $b)
    add3($twos, $fours, $t1, $t2, $t3)
  #end

  ;; Eight more planes from j on into $ones, $twos, $fours; what they carry goes to `eights`.
  #macro eight_more(j, eights)
    diff($a, {j})
    diff($b, {j + 1})
    add3($ones, $t1, $ones, $a, $b)
    diff($a, {j + 2})
    diff($b, {j + 3})
    add3($ones, $t2, $ones, $a, $b)
    add3($twos, $f1, $twos, $t1, $t2)
    diff($a, {j + 4})
    diff($b, {j + 5})
    add3($ones, $t1, $ones, $a, $b)
    diff($a, {j + 6})
    diff($b, {j + 7})
    add3($ones, $t2, $ones, $a, $b)
    add3($twos, $f2, $twos, $t1, $t2)
    add3($fours, {eights}, $fours, $f1, $f2)
  #end

  ;; d counts eights already: the rest, and the plane j that is left over.
  #macro and_the_rest(d, j)
    double_and_count({d}, $fours)
    double_and_count({d}, $twos)
    double_and_count({d}, $ones)
    diff($a, {j})
    and_count({d}, $a)
  #end

  #macro distance64(d)
    first_seven()
    count({d}, $fours)
    double_and_count({d}, $twos)
    double_and_count({d}, $ones)
    diff($a, 7)
    and_count({d}, $a)
  #end

  #macro distance128(d)
    first_seven()
    eight_more(7, $e1)
    count({d}, $e1)
    and_the_rest({d}, 15)
  #end

  #macro distance192(d)
    first_seven()
    eight_more(7, $e1)
    eight_more(15, $e2)
    count({d}, $e1)
    and_count({d}, $e2)
    and_the_rest({d}, 23)
  #end

  #macro distance256(d)
    first_seven()
    eight_more(7, $e1)
    eight_more(15, $e2)
    eight_more(23, $e3)
    add3($e1, $t1, $e1, $e2, $e3)
    count({d}, $t1)
    double_and_count({d}, $e1)
    and_the_rest({d}, 31)
  #end

  ;; Scans `steps` steps of 64 codes from `p` on. Bit l of the u64 at `live` and at `filter` says whether code l of the step takes part;
  ;; both move on with the steps (without a filter both are the same address). `lane` is the number of the first code.
  ;; Returns the steps left when there is no room for 64 more candidates, 0 at the end. Room is looked at before a step, for the last call may
  ;; have used it up just at its end.
  #for W in 8 16 32 64 128 192 256
  (func (export "scan{W}") (param $state i32) (param $p i32) (param $steps i32) (param $live i32) (param $filter i32) (param $lane i32)
    (result i32)
    (local $u v128) (local $a v128) (local $b v128) (local $c v128) (local $t1 v128) (local $t2 v128) (local $t3 v128)
    (local $f1 v128) (local $f2 v128) (local $e1 v128) (local $e2 v128) (local $e3 v128)
    (local $ones v128) (local $twos v128) (local $fours v128)
    (local $d0 v128) (local $d1 v128) (local $d2 v128) (local $d3 v128) (local $limits v128)
    (local $mask i64)
    ;; The query stands in locals: registers for few planes, and for many V8 still saves instructions (2 to 8 % measured). Bytes beyond
    ;; the code's are zero and unused.
    #for j in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    (local $q{j} v128)
    #end
    #for j in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    (local.set $q{j} (v128.load offset={1152 + 16 * j} (local.get $state)))
    #end

    (local.set $limits (i8x16.splat (i32.load offset=4 (local.get $state))))
    (block $end (loop $next
      (br_if $end (i32.eqz (local.get $steps)))
      (br_if $end (i32.gt_u
        (i32.add (i32.load offset=12 (local.get $state)) (i32.const 64))
        (i32.load offset=16 (local.get $state))))
      (local.set $mask (i64.and (i64.load (local.get $live)) (i64.load (local.get $filter))))
      (if (i64.eqz (local.get $mask))
        (then (local.set $p (i32.add (local.get $p) (i32.const {8 * W}))))
        (else
          #for i in 0 1 2 3
          distance{W}($d{i})
          (local.set $p (i32.add (local.get $p) (i32.const {2 * W})))
          #end
          ;; Does any of the 64 matter?
          (if (v128.any_true (i8x16.le_u
                (i8x16.min_u (i8x16.min_u (local.get $d0) (local.get $d1)) (i8x16.min_u (local.get $d2) (local.get $d3)))
                (local.get $limits)))
            (then
              #for i in 0 1 2 3
              (v128.store offset={1664 + 16 * i} (local.get $state) (local.get $d{i}))
              #end
              (local.set $mask (i64.and (local.get $mask) (i64.or
                (i64.or
                  (i64.extend_i32_u (i8x16.bitmask (i8x16.le_u (local.get $d0) (local.get $limits))))
                  (i64.shl (i64.extend_i32_u (i8x16.bitmask (i8x16.le_u (local.get $d1) (local.get $limits)))) (i64.const 16)))
                (i64.or
                  (i64.shl (i64.extend_i32_u (i8x16.bitmask (i8x16.le_u (local.get $d2) (local.get $limits)))) (i64.const 32))
                  (i64.shl (i64.extend_i32_u (i8x16.bitmask (i8x16.le_u (local.get $d3) (local.get $limits)))) (i64.const 48))))))
              (if (i64.ne (local.get $mask) (i64.const 0))
                (then
                  (call $accept (local.get $state) (local.get $mask) (local.get $lane))
                  (local.set $limits (i8x16.splat (i32.load offset=4 (local.get $state))))))))))
      (local.set $live (i32.add (local.get $live) (i32.const 8)))
      (local.set $filter (i32.add (local.get $filter) (i32.const 8)))
      (local.set $lane (i32.add (local.get $lane) (i32.const 64)))
      (local.set $steps (i32.sub (local.get $steps) (i32.const 1)))
      (br $next)))
    (local.get $steps))
  #end

  ;; d of the four queries += differing bits of plane j of the eight at $p.
  #macro plane(j)
    (local.set $x (v128.load offset={16 * j} (local.get $p)))
    (local.set $low (v128.and (local.get $x) (local.get $half)))
    (local.set $high (v128.and (i16x8.shr_u (local.get $x) (i32.const 4)) (local.get $half)))
    #for q in 0 1 2 3
    (local.set $d{q} (i8x16.add_sat_u (local.get $d{q}) (i8x16.add
      (i8x16.relaxed_swizzle (v128.load offset={16384 * q + 32 * j + 2048} (local.get $table)) (local.get $low))
      (i8x16.relaxed_swizzle (v128.load offset={16384 * q + 32 * j + 2064} (local.get $table)) (local.get $high)))))
    #end
  #end

  ;; The same as scan{W} for four searches at once, in slots that lie one behind the other, 16 KiB each, and codes of `eights` times 64
  ;; bits. A byte is cut into its halves once for all four; a half is a place in a table of the query, which holds the bits that differ.
  ;; An octet of planes so takes 38 vector operations a query instead of about 60, and codes are loaded once instead of four times; for one
  ;; query alone the cutting would eat up the gain. (Look-ups of half bytes are how product quantisation is scanned: Andre, Kermarrec and
  ;; Le Scouarnec 2015, "Cache locality is not enough"; their tables hold parts of a distance to centroids.) A relaxed swizzle is the
  ;; processor's own instruction; for places below 16 all agree.
  (func (export "four") (param $state i32) (param $p i32) (param $steps i32) (param $live i32) (param $filter i32) (param $lane i32)
    (param $eights i32)
    (result i32)
    (local $x v128) (local $low v128) (local $high v128) (local $half v128)
    #for q in 0 1 2 3
    (local $d{q} v128) (local $least{q} v128) (local $limits{q} v128)
    #end
    (local $mask i64) (local $own i64) (local $at i32) (local $full i32) (local $table i32) (local $end i32)
    (local.set $half (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))
    #for q in 0 1 2 3
    (local.set $limits{q} (i8x16.splat (i32.load offset={16384 * q + 4} (local.get $state))))
    (local.set $full (i32.or (local.get $full) (i32.gt_u
      (i32.add (i32.load offset={16384 * q + 12} (local.get $state)) (i32.const 64))
      (i32.load offset={16384 * q + 16} (local.get $state)))))
    #end
    (block $end (loop $next
      (br_if $end (i32.or (local.get $full) (i32.eqz (local.get $steps))))
      (local.set $mask (i64.and (i64.load (local.get $live)) (i64.load (local.get $filter))))
      (if (i64.eqz (local.get $mask))
        (then (local.set $p (i32.add (local.get $p) (i32.shl (local.get $eights) (i32.const 9)))))
        (else
          #for q in 0 1 2 3
          (local.set $least{q} (v128.const i32x4 -1 -1 -1 -1))
          #end
          (local.set $at (local.get $state))
          (loop $block
            #for q in 0 1 2 3
            (local.set $d{q} (v128.const i32x4 0 0 0 0))
            #end
            (local.set $table (local.get $state))
            (local.set $end (i32.add (local.get $p) (i32.shl (local.get $eights) (i32.const 7))))
            (loop $planes
              #for j in 0 1 2 3 4 5 6 7
              plane({j})
              #end
              (local.set $table (i32.add (local.get $table) (i32.const 256)))
              (local.set $p (i32.add (local.get $p) (i32.const 128)))
              (br_if $planes (i32.ne (local.get $p) (local.get $end))))
            #for q in 0 1 2 3
            (v128.store offset={16384 * q + 1664} (local.get $at) (local.get $d{q}))
            (local.set $least{q} (i8x16.min_u (local.get $least{q}) (local.get $d{q})))
            #end
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (br_if $block (i32.ne (local.get $at) (i32.add (local.get $state) (i32.const 64)))))
          #for q in 0 1 2 3
          (if (v128.any_true (i8x16.le_u (local.get $least{q}) (local.get $limits{q})))
            (then
              (local.set $own (i64.and (local.get $mask) (i64.or
                (i64.or
                  (i64.extend_i32_u (i8x16.bitmask (i8x16.le_u (v128.load offset={16384 * q + 1664} (local.get $state)) (local.get $limits{q}))))
                  (i64.shl (i64.extend_i32_u (i8x16.bitmask (i8x16.le_u (v128.load offset={16384 * q + 1680} (local.get $state)) (local.get $limits{q})))) (i64.const 16)))
                (i64.or
                  (i64.shl (i64.extend_i32_u (i8x16.bitmask (i8x16.le_u (v128.load offset={16384 * q + 1696} (local.get $state)) (local.get $limits{q})))) (i64.const 32))
                  (i64.shl (i64.extend_i32_u (i8x16.bitmask (i8x16.le_u (v128.load offset={16384 * q + 1712} (local.get $state)) (local.get $limits{q})))) (i64.const 48))))))
              (if (i64.ne (local.get $own) (i64.const 0))
                (then
                  (call $accept (i32.add (local.get $state) (i32.const {16384 * q})) (local.get $own) (local.get $lane))
                  (local.set $limits{q} (i8x16.splat (i32.load offset={16384 * q + 4} (local.get $state))))
                  (local.set $full (i32.or (local.get $full) (i32.gt_u
                    (i32.add (i32.load offset={16384 * q + 12} (local.get $state)) (i32.const 64))
                    (i32.load offset={16384 * q + 16} (local.get $state)))))))))
          #end
          ))
      (local.set $live (i32.add (local.get $live) (i32.const 8)))
      (local.set $filter (i32.add (local.get $filter) (i32.const 8)))
      (local.set $lane (i32.add (local.get $lane) (i32.const 64)))
      (local.set $steps (i32.sub (local.get $steps) (i32.const 1)))
      (br $next)))
    (local.get $steps))

  ;; Writes zeros. (`fill` of an array over shared memory goes byte by byte and took half the time of a search of 1,000 codes.)
  (func (export "zero") (param $at i32) (param $bytes i32)
    (memory.fill (local.get $at) (i32.const 0) (local.get $bytes)))

  ;; Makes of the query at 1728, of `bytes` bytes, what the loops above read.
  (func (export "prepare") (param $state i32) (param $bytes i32)
    (local $j i32) (local $byte i32) (local $at i32)
    (loop $next
      (local.set $byte (i32.load8_u offset=1728 (i32.add (local.get $state) (local.get $j))))
      (local.set $at (i32.add (local.get $state) (i32.shl (local.get $j) (i32.const 4))))
      (v128.store offset=1152 (local.get $at) (i8x16.splat (local.get $byte)))
      (local.set $at (i32.add (local.get $at) (i32.shl (local.get $j) (i32.const 4))))
      (v128.store offset=2048 (local.get $at) (i8x16.popcnt (v128.xor
        (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
        (i8x16.splat (i32.and (local.get $byte) (i32.const 15))))))
      (v128.store offset=2064 (local.get $at) (i8x16.popcnt (v128.xor
        (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
        (i8x16.splat (i32.shr_u (local.get $byte) (i32.const 4))))))
      (br_if $next (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (local.get $bytes)))))

  ;; Takes the codes of a step whose bits are set in `mask` as candidates, as long as they lie within the limit, which may fall meanwhile.
  (func $accept (param $state i32) (param $mask i64) (param $lane i32)
    (local $l i32) (local $d i32) (local $at i32) (local $limit i32) (local $below i32) (local $slot i32)
    (local.set $at (i32.add
      (i32.load offset=20 (local.get $state))
      (i32.shl (i32.load offset=12 (local.get $state)) (i32.const 3))))
    (local.set $limit (i32.load offset=4 (local.get $state)))
    (local.set $below (i32.load offset=8 (local.get $state)))
    (loop $next
      (local.set $l (i32.wrap_i64 (i64.ctz (local.get $mask))))
      (local.set $d (i32.load8_u offset=1664 (i32.add (local.get $state) (local.get $l))))
      (if (i32.le_u (local.get $d) (local.get $limit))
        (then
          (i32.store (local.get $at) (i32.add (local.get $lane) (local.get $l)))
          (i32.store offset=4 (local.get $at) (local.get $d))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (local.set $slot (i32.add (local.get $state) (i32.shl (local.get $d) (i32.const 2))))
          (i32.store offset=64 (local.get $slot) (i32.add (i32.load offset=64 (local.get $slot)) (i32.const 1)))
          (if (i32.lt_u (local.get $d) (local.get $limit))
            (then
              (local.set $below (i32.add (local.get $below) (i32.const 1)))
              (block $done (loop $fall
                (br_if $done (i32.lt_u (local.get $below) (i32.load (local.get $state))))
                (local.set $limit (i32.sub (local.get $limit) (i32.const 1)))
                (local.set $below (i32.sub (local.get $below)
                  (i32.load offset=64 (i32.add (local.get $state) (i32.shl (local.get $limit) (i32.const 2))))))
                (br $fall)))))))
      (local.set $mask (i64.and (local.get $mask) (i64.sub (local.get $mask) (i64.const 1))))
      (br_if $next (i64.ne (local.get $mask) (i64.const 0))))
    (i32.store offset=4 (local.get $state) (local.get $limit))
    (i32.store offset=8 (local.get $state) (local.get $below))
    (i32.store offset=12 (local.get $state) (i32.shr_u
      (i32.sub (local.get $at) (i32.load offset=20 (local.get $state)))
      (i32.const 3))))
)
