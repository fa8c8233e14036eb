/* A model with a variable behind its header: y = x + sum of the x before, beginning with 10. */
#include "sum.h"

#include <stdio.h>
#include <string.h>

static _Alignas(SUM_WORKSPACE_ALIGN) char first[SUM_WORKSPACE_BYTES], second[SUM_WORKSPACE_BYTES];

static void infer_with(const char *name, void *workspace, float value, const octet_exec *exec) {
  float x[3] = {value, value, value}, y[3] = {0, 0, 0};
  sum_inputs in = {.x = x};
  sum_outputs out = {.y = y};
  int32_t code = sum_infer(&in, &out, workspace, exec);
  printf("%s: %d, y = %g %g %g\n", name, code, y[0], y[1], y[2]);
}

static void infer(const char *name, void *workspace, float value) { infer_with(name, workspace, value, NULL); }

/* In the version that needs least of the CPU. */
static void infer_last(const char *name, void *workspace, float value) {
  uint32_t last = sum_info()->version_count - 1;
  octet_exec exec = {.abi_version = OCTET_ABI_VERSION, .flags = OCTET_EXEC_CPU_CHECKED | OCTET_EXEC_VERSION(last)};
  infer_with(name, workspace, value, &exec);
}

int main(void) {
  memset(first, 0xa5, sizeof first);
  infer("not reset", first, 1);
  infer("zeroed", second, 1);
  printf("reset: %d %d %d\n", sum_reset(NULL), sum_reset(first + 8), sum_reset(first));
  infer("first", first, 1);
  /* Only the beginning of a workspace is kept. */
  memset(first + sum_info()->state_bytes, 0xa5, sizeof first - sum_info()->state_bytes);
  infer("first", first, 2);
  printf("reset: %d\n", sum_info()->reset(second));
  infer("second", second, 5);
  infer("first", first, 3);
  memcpy(second, first, SUM_WORKSPACE_BYTES);
  infer("copy of first", second, 1);
  infer_last("in the last version", second, 3);
  printf("reset: %d\n", sum_reset(first));
  infer("first", first, 1);
  printf("%s\n", octet_status_string(OCTET_NOT_RESET));
  return 0;
}
