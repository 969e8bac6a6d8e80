/*
 * The native reference of search.bench.ts: exact top-k over row-major codes, as faiss does it (HammingComputer of 64-bit words, `popcnt`,
 * a binary heap of the k best), one thread. Codes and queries come as raw files; so do the results.
 *
 *   native CODES QUERIES BITS K REPEATS RESULTS   ->  nanoseconds of every query on standard output, one a line
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

typedef struct { int32_t distance; uint32_t lane; } Hit;

/* Largest first: (distance, lane); lanes come ascending, so a later code never replaces one of the same distance. */
static int before(Hit a, Hit b) { return a.distance < b.distance || (a.distance == b.distance && a.lane < b.lane); }

static void replace_top(Hit *heap, int k, Hit hit) {
  int at = 0;
  for (;;) {
    int child = 2 * at + 1;
    if (child >= k) break;
    if (child + 1 < k && before(heap[child], heap[child + 1])) child++;
    if (!before(hit, heap[child])) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = hit;
}

static int order(const void *a, const void *b) { return before(*(const Hit *)a, *(const Hit *)b) ? -1 : 1; }

#define SCAN(WORDS)                                                                        \
  static void scan##WORDS(const uint64_t *codes, size_t n, const uint64_t *query, int k, Hit *heap) { \
    uint64_t q[WORDS];                                                                     \
    for (int w = 0; w < WORDS; w++) q[w] = query[w];                                       \
    for (size_t i = 0; i < n; i++) {                                                       \
      int distance = 0;                                                                    \
      for (int w = 0; w < WORDS; w++) distance += __builtin_popcountll(codes[i * WORDS + w] ^ q[w]); \
      if (distance < heap[0].distance) replace_top(heap, k, (Hit){distance, (uint32_t)i}); \
    }                                                                                      \
  }
SCAN(1)
SCAN(2)
SCAN(4)

static uint64_t *load(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file) exit(2);
  fseek(file, 0, SEEK_END);
  *bytes = ftell(file);
  rewind(file);
  void *data = aligned_alloc(1 << 21, (*bytes + (1 << 21)) & ~(size_t)((1 << 21) - 1));
  if (!data || fread(data, 1, *bytes, file) != *bytes) exit(2);
  fclose(file);
  return data;
}

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  int bits = atoi(argv[3]), k = atoi(argv[4]), repeats = atoi(argv[5]);
  size_t code_bytes, query_bytes, words = bits / 64;
  uint64_t *codes = load(argv[1], &code_bytes), *queries = load(argv[2], &query_bytes);
  size_t n = code_bytes / (8 * words), q = query_bytes / (8 * words);
  Hit *heap = malloc(k * sizeof(Hit));
  FILE *results = fopen(argv[6], "wb");
  for (int round = 0; round < repeats; round++)
    for (size_t i = 0; i < q; i++) {
      struct timespec from, to;
      clock_gettime(CLOCK_MONOTONIC, &from);
      for (int j = 0; j < k; j++) heap[j] = (Hit){1 << 20, UINT32_MAX};
      (words == 1 ? scan1 : words == 2 ? scan2 : scan4)(codes, n, queries + i * words, k, heap);
      qsort(heap, k, sizeof(Hit), order);
      clock_gettime(CLOCK_MONOTONIC, &to);
      printf("%ld\n", (to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec);
      if (round == 0) fwrite(heap, sizeof(Hit), k, results);
    }
  fclose(results);
  return 0;
}
