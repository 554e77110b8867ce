// The library that is preloaded into the programs of guests: test/tools/vm/cheaper-calls.c. It works on any kernel.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { ask } from '../../helpers/process/ask.js'

/** Two threads read the clock, each between two answers of the kernel; prints what is wrong, and which pages are there. */
const PROGRAM = `
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static const int64_t MS = 1000000;
static int64_t of(struct timespec t) { return t.tv_sec * 1000 * MS + t.tv_nsec; }
static int64_t kernel(void) { struct timespec t; syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t); return of(t); }
static int64_t preloaded(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return of(t); }
static void *watch(void *none) {
  for (int turn = 0; turn < 200000; turn++) {
    const int64_t before = kernel(), now = preloaded(), after = kernel();
    if (now < before - MS || now > after + MS) printf("%ld is not between %ld and %ld\\n", now, before, after);
  }
  return none;
}
static int present(char *pages, int count) {
  unsigned char in[64];
  int sum = 0;
  mincore(pages, count * 4096UL, in);
  for (int i = 0; i < count; i++) sum += in[i] & 1;
  return sum;
}
int main(void) {
  pthread_t other;
  pthread_create(&other, NULL, watch, NULL);
  int64_t last = 0;
  for (int turn = 0; turn < 1000000; turn++) {
    const int64_t now = preloaded();
    if (now < last - MS) printf("the clock went back by %ld\\n", last - now);
    last = now;
  }
  pthread_join(other, NULL);
  struct timespec wall;
  if (clock_gettime(CLOCK_REALTIME, &wall) != 0 || wall.tv_sec - time(NULL) > 1) printf("another wall clock\\n");
  char *given = mmap(NULL, 64 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("pages %d", present(given, 64));
  mprotect(given, 64 * 4096, PROT_READ | PROT_WRITE);
  printf(" %d", present(given, 64));
  char *large = mmap(NULL, 16UL << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf(" %d\\n", present(large, 64));
}`

let folder: string
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'dm-thin-cheaper-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

test('a program has the clock of the kernel to a millisecond, and the pages that it was given', () => {
  const library = ask('vm/cheaper-calls.mjs', `return m.cheaperCalls(['constant_tsc', 'nonstop_tsc'])`)
  const [source, program] = [path.join(folder, 'program.c'), path.join(folder, 'program')]
  writeFileSync(source, PROGRAM)
  execFileSync('cc', ['-O1', '-pthread', '-o', program, source])
  const env = { ...process.env, LD_PRELOAD: String(library) }
  expect(execFileSync(program, { env, encoding: 'utf8' })).toBe('pages 0 64 0\n')
})

test('a processor whose counter is not steady goes without the library', () => {
  expect(ask('vm/cheaper-calls.mjs', `return m.cheaperCalls(['constant_tsc']) ?? 'none'`)).toBe('none')
})
