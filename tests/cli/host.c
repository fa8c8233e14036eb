/* Two models behind their headers: C99 and C++. Prints "ok", or what is wrong. */
#include "one.h"
#include "two.h"

#include <stdio.h>
#include <string.h>

#define CHECK(condition)                             \
  do {                                               \
    if (!(condition)) {                              \
      fprintf(stderr, "not so: %s\n", #condition);   \
      return 1;                                      \
    }                                                \
  } while (0)

static float image[2 * 64], out_one[10], out_two[20];
static char memory[ONE_WORKSPACE_BYTES + TWO_WORKSPACE_BYTES + 2 * ONE_WORKSPACE_ALIGN];

/* The first address in memory from `at` that a workspace may have. */
static void *aligned(char *at) {
  uintptr_t address = (uintptr_t)at;
  return at + (ONE_WORKSPACE_ALIGN - address % ONE_WORKSPACE_ALIGN) % ONE_WORKSPACE_ALIGN;
}

static int calls;

/* Two ranges, the second one first. */
static void in_two(void *context, int64_t items, octet_task task, const void *task_context) {
  ++*(int *)context;
  task(task_context, items / 2, items);
  task(task_context, 0, items / 2);
}

static int info(void) {
  const octet_model_info *one = one_info();
  CHECK(one->abi_version == OCTET_ABI_VERSION);
  CHECK(one->struct_size == sizeof(octet_model_info));
  CHECK(strcmp(one->name, "one") == 0);
  CHECK(one->workspace_bytes == ONE_WORKSPACE_BYTES);
  CHECK(one->constant_bytes == ONE_CONSTANT_BYTES && one->code_bytes == ONE_CODE_BYTES);
  CHECK(one->stack_bytes == ONE_STACK_BYTES && one->stack_bytes > 0);
  CHECK(strcmp(one->model_hash, ONE_HASH) == 0 && strcmp(one->cpu_name, ONE_CPU) == 0);
  CHECK(one->cpu_features == ONE_CPU_FEATURES);
  CHECK(one->input_count == 1 && one->output_count == 1);
  CHECK(strcmp(one->inputs[0].name, "image") == 0);
  const uint64_t dims[ONE_INPUT_IMAGE_RANK] = ONE_INPUT_IMAGE_DIMS;
  CHECK(one->inputs[0].rank == ONE_INPUT_IMAGE_RANK && memcmp(one->inputs[0].dims, dims, sizeof dims) == 0);
  CHECK(one->inputs[0].element_type == ONE_INPUT_IMAGE_TYPE && ONE_INPUT_IMAGE_TYPE == OCTET_TYPE_F32);
  CHECK(ONE_INPUT_IMAGE_ELEMENTS == 64 && two_info()->outputs[0].dims[0] == 2);
  CHECK(one->inputs[0].byte_size == ONE_INPUT_IMAGE_BYTES);
  CHECK(two_info()->outputs[0].byte_size == TWO_OUTPUT_LOGITS_BYTES);
  CHECK(strcmp(two_info()->model_hash, one->model_hash) == 0);
  return 0;
}

int main(int argc, char **argv) {
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  CHECK(file != NULL && fread(image, 4, 64, file) == 64);
  fclose(file);
  memcpy(image + 64, image, 256);
  if (info() != 0) return 1;

  void *workspace = aligned(memory);
  one_inputs x1;
  one_outputs y1;
  two_inputs x2;
  two_outputs y2;
  x1.image = image;
  y1.logits = out_one;
  x2.image = image;
  y2.logits = out_two;
  CHECK(one_infer(&x1, &y1, workspace, NULL) == OCTET_OK);

  octet_exec exec;
  memset(&exec, 0, sizeof exec);
  exec.abi_version = OCTET_ABI_VERSION;
  exec.context = &calls;
  exec.parallel_for = in_two;
  CHECK(two_infer(&x2, &y2, workspace, &exec) == OCTET_OK);
  CHECK(memcmp(out_one, out_two, 40) == 0 && memcmp(out_one, out_two + 10, 40) == 0);

  CHECK(one_infer(NULL, &y1, workspace, NULL) == OCTET_NULL_POINTER);
  CHECK(one_infer(&x1, &y1, NULL, NULL) == OCTET_NULL_POINTER);
  CHECK(one_infer(&x1, &y1, (char *)workspace + 4, NULL) == OCTET_MISALIGNED);
  exec.abi_version = OCTET_ABI_VERSION + 1;
  CHECK(one_infer(&x1, &y1, workspace, &exec) == OCTET_ABI_MISMATCH);
  x1.image = NULL;
  CHECK(one_infer(&x1, &y1, workspace, NULL) == OCTET_NULL_POINTER);
  CHECK(strcmp(octet_status_string(OCTET_OK), "ok") == 0);
  CHECK(strlen(octet_status_string(-77)) > 0);
  puts("ok");
  return 0;
}
