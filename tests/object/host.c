/* Calls the model of main.rs in every way its header allows, and prints what happens. */
#include <stdio.h>
#include <string.h>

#include "toy.h"

static _Alignas(64) char workspace[TOY_WORKSPACE_BYTES + 64];
static float x[12], y[12], table[12];

static void print(const char *name, const float *values) {
  printf(", %s =", name);
  for (int i = 0; i < 12; i++) printf(" %g", values[i]);
}

static void results(const char *how, int32_t status) {
  printf("%s: %d", how, status);
  print("y", y);
  print("table", table);
  printf("\n");
  memset(y, 0, sizeof y);
  memset(table, 0, sizeof table);
}

static int shared;
static int64_t items_seen;

/* Backwards and in pieces of one: the result must not depend on it. */
static void parallel_for(void *context, int64_t items, octet_task task, const void *task_context) {
  if (context != &shared) return;
  shared++;
  items_seen = items;
  for (int64_t i = items; i-- > 0;) task(task_context, i, i + 1);
}

static int asked;

static uint64_t clock_of_ten(void *context) {
  (void)context;
  return (uint64_t)(10 * ++asked);
}

static void describe(void) {
  const octet_model_info *info = toy_info();
  printf("info: %s %s, abi %u, workspace %llu/%llu, %u inputs, %u outputs, %u layers\n", info->name, info->model_hash,
         info->abi_version, (unsigned long long)info->workspace_bytes, (unsigned long long)info->workspace_align,
         info->input_count, info->output_count, info->layer_count);
  const octet_tensor_info *input = info->inputs;
  printf("input %s: %s %llux%llu %llu bytes\n", input->name, input->element_type == 1 ? "f32" : "?",
         (unsigned long long)input->dims[0], (unsigned long long)input->dims[1],
         (unsigned long long)input->byte_size);
  for (uint32_t i = 0; i < info->layer_count; i++) {
    const octet_layer_info *layer = &info->layers[i];
    printf("layer %s (%s): %s, %llu MACs\n", layer->name, layer->original_names, layer->layer_type,
           (unsigned long long)layer->macs);
  }
}

int main(int argc, char **argv) {
  (void)argv;
  toy_inputs in = {x};
  toy_outputs out = {y, table};
  for (int i = 0; i < 12; i++) x[i] = (float)i;
  if (argc > 1) {
    printf("%d\n", toy_infer(&in, &out, workspace, NULL));
    return 0;
  }
  results("plain", toy_infer(&in, &out, workspace, NULL));

  octet_exec exec = {.abi_version = OCTET_ABI_VERSION, .context = &shared, .parallel_for = parallel_for};
  results("threads", toy_infer(&in, &out, workspace, &exec));
  printf("shared steps: %d, of %lld items\n", shared, (long long)items_seen);

  uint64_t ns[3] = {0, 0, 0};
  octet_exec profile = {.abi_version = OCTET_ABI_VERSION, .clock = clock_of_ten, .layer_ns = ns};
  int32_t status = toy_infer(&in, &out, workspace, &profile);
  printf("profile: %d, clock %d times, ns %d %d %d", status, asked, (int)ns[0], (int)ns[1], (int)ns[2]);
  toy_infer(&in, &out, workspace, &profile);
  printf(", then %d %d %d\n", (int)ns[0], (int)ns[1], (int)ns[2]);

  toy_inputs no_x = {NULL};
  toy_outputs no_table = {y, NULL};
  printf("null: %d %d %d %d %d\n", toy_infer(NULL, &out, workspace, NULL), toy_infer(&in, NULL, workspace, NULL),
         toy_infer(&in, &out, NULL, NULL), toy_infer(&no_x, &out, workspace, NULL),
         toy_infer(&in, &no_table, workspace, NULL));
  toy_inputs odd_x = {(const float *)(const void *)((const char *)x + 2)};
  toy_outputs odd_y = {(float *)(void *)((char *)y + 1), table};
  printf("misaligned: %d %d %d\n", toy_infer(&in, &out, workspace + 32, NULL), toy_infer(&odd_x, &out, workspace, NULL),
         toy_infer(&in, &odd_y, workspace, NULL));
  exec.abi_version++;
  printf("another ABI: %d\n", toy_infer(&in, &out, workspace, &exec));
  describe();
  return 0;
}
