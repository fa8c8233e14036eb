/* A model in a program whose allocator aborts while the model works. With an argument it allocates then, to show that. */
#include "digits.h"

#include <stdio.h>
#include <stdlib.h>

static float image[DIGITS_INPUT_IMAGE_ELEMENTS], logits[DIGITS_OUTPUT_LOGITS_ELEMENTS];
static char memory[DIGITS_WORKSPACE_BYTES + DIGITS_WORKSPACE_ALIGN];

static int forbidden;
static union {
  double align;
  char bytes[1 << 20];
} heap;
static size_t used;

void *malloc(size_t size) {
  void *block = heap.bytes + used;
  if (forbidden || size > sizeof heap.bytes - used - 16) abort();
  used += (size + 15) / 16 * 16;
  return block;
}

void *calloc(size_t count, size_t size) { return malloc(count * size); } /* never used twice, so zero */
void *realloc(void *block, size_t size) {
  (void)block;
  (void)size;
  abort();
}
void free(void *block) {
  (void)block;
  if (forbidden) abort();
}

/* Runs everything on this thread. */
static void parallel_for(void *context, int64_t items, octet_task task, const void *task_context) {
  (void)context;
  task(task_context, 0, items);
}

int main(int argc, char **argv) {
  char *workspace = memory + (DIGITS_WORKSPACE_ALIGN - (uintptr_t)memory % DIGITS_WORKSPACE_ALIGN);
  digits_inputs inputs = {NULL};
  digits_outputs outputs = {NULL};
  octet_exec exec = {OCTET_ABI_VERSION, 0, NULL, NULL, NULL, NULL};
  int32_t plain, shared;
  (void)argv;
  inputs.image = image;
  outputs.logits = logits;
  exec.parallel_for = parallel_for;
  forbidden = 1;
  plain = digits_infer(&inputs, &outputs, workspace, NULL);
  shared = digits_infer(&inputs, &outputs, workspace, &exec);
  if (argc > 1) free(malloc(1));
  forbidden = 0;
  puts(plain == OCTET_OK && shared == OCTET_OK ? "ok" : "failed");
  return 0;
}
