/* Runs each version of a model that this CPU can run, and the one that it chooses; prints which that is.
 * host INPUT: writes the outputs to chosen.raw, 0.raw, 1.raw, ... */
#include <stdio.h>
#include <stdlib.h>

#include "many.h"

static float input[MANY_INPUT_IMAGE_ELEMENTS], output[MANY_OUTPUT_LOGITS_ELEMENTS];
static union {
  char bytes[MANY_WORKSPACE_BYTES + MANY_WORKSPACE_ALIGN];
} memory;

static int32_t run(const char *file, const octet_exec *exec) {
  many_inputs in = {input};
  many_outputs out = {output};
  uintptr_t at = ((uintptr_t)memory.bytes + MANY_WORKSPACE_ALIGN - 1) / MANY_WORKSPACE_ALIGN * MANY_WORKSPACE_ALIGN;
  int32_t status = many_infer(&in, &out, (void *)at, exec);
  FILE *stream = fopen(file, "wb");
  if (!stream || fwrite(output, sizeof output, 1, stream) != 1 || fclose(stream)) abort();
  return status;
}

int main(int count, char **arguments) {
  const octet_model_info *info = many_info();
  FILE *stream = count == 2 ? fopen(arguments[1], "rb") : NULL;
  if (!stream || fread(input, sizeof input, 1, stream) != 1) return 9;
  fclose(stream);
  int32_t status = run("chosen.raw", NULL);
  printf("%u of %u, %u layers: %d\n", (unsigned)info->version, (unsigned)info->version_count, (unsigned)info->layer_count,
         (int)status);
  if (status != OCTET_OK) return 0;
  /* Versions behind the chosen one need less. */
  for (uint32_t version = info->version; version < info->version_count; version++) {
    octet_exec exec = {OCTET_ABI_VERSION, OCTET_EXEC_CPU_CHECKED | OCTET_EXEC_VERSION(version), 0, 0, 0, 0};
    char file[16];
    snprintf(file, sizeof file, "%u.raw", (unsigned)version);
    if (run(file, &exec) != OCTET_OK) return 8;
  }
  octet_exec none = {OCTET_ABI_VERSION, OCTET_EXEC_CPU_CHECKED | OCTET_EXEC_VERSION(info->version_count), 0, 0, 0, 0};
  return run("none.raw", &none) == OCTET_CPU_UNSUPPORTED ? 0 : 7;
}
