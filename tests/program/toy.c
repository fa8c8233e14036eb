/* A model written by hand against runtime/src/abi.rs: `y = x * factor[i]` for x f32[2,3], then `negative = y < 0` as bool[2,3].
 * Freestanding, no writable data. Macros choose what is wrong with it. */
#include <stddef.h>
#include <stdint.h>

#ifndef TOY_ABI_VERSION
#define TOY_ABI_VERSION 2
#endif
#ifndef TOY_CPU_FEATURES
#define TOY_CPU_FEATURES 0
#endif
#ifndef TOY_STATUS
#define TOY_STATUS 0
#endif

typedef struct {
  const char *name;
  const uint64_t *dims;
  uint64_t byte_size;
  uint32_t element_type, rank;
} tensor_info;

typedef struct {
  const char *name, *original_names, *layer_type, *exec_type, *precision;
  uint64_t macs;
} layer_info;

typedef struct {
  uint32_t abi_version, struct_size;
  const char *name, *model_hash, *compiler, *cpu_name;
  uint64_t cpu_features, workspace_bytes, workspace_align, constant_bytes, code_bytes;
  const tensor_info *inputs, *outputs;
  const layer_info *layers;
  uint32_t input_count, output_count, layer_count, stack_bytes, version, version_count;
  int32_t (*reset)(void *workspace);
  uint64_t state_bytes;
} model_info;

typedef void (*task)(const void *context, int64_t begin, int64_t end);

typedef struct {
  uint32_t abi_version, flags;
  void *context;
  void (*parallel_for)(void *context, int64_t items, task task, const void *task_context);
  uint64_t (*clock)(void *context);
  uint64_t *layer_ns;
} exec;

#ifdef TOY_UNDEFINED
void not_defined(void), not_defined_either(void);
#endif
#ifdef TOY_WRITABLE
int counter = 1;
int calls;
#endif

enum { ITEMS = 6 };
static const uint64_t dims[2] = {2, 3};
static const float factor[ITEMS] __attribute__((aligned(64))) = {2, 2, 2, 2, 2, -2};
static const tensor_info inputs[1] = {{"x", dims, ITEMS * 4, 1, 2}};
static const tensor_info outputs[2] = {{"y", dims, ITEMS * 4, 1, 2}, {"negative", dims, ITEMS, 9, 2}};
static const layer_info layers[2] = {
    {"scale/with a long name", "scale,factor", "Multiply", "toy_f32", "FP32", ITEMS},
    {"sign", "sign", "Less", "toy_bool", "FP32", 0},
};
static const model_info info = {
    .abi_version = TOY_ABI_VERSION, .struct_size = sizeof(model_info),
    .name = "toy", .model_hash = "0123abcd", .compiler = "cc", .cpu_name = "any",
    .cpu_features = TOY_CPU_FEATURES, .workspace_bytes = ITEMS * 4, .workspace_align = 64,
    .constant_bytes = sizeof factor, .code_bytes = 100,
    .inputs = inputs, .outputs = outputs, .layers = layers,
    .input_count = 1, .output_count = 2, .layer_count = 2,
};

typedef struct {
  const float *x;
  float *y, *scratch;
  uint8_t *negative;
} buffers;

static void scale(const void *context, int64_t begin, int64_t end) {
  const buffers *b = context;
  for (int64_t i = begin; i < end; i++) b->y[i] = b->scratch[i] = b->x[i] * factor[i];
}

static void sign(const void *context, int64_t begin, int64_t end) {
  const buffers *b = context;
  for (int64_t i = begin; i < end; i++) b->negative[i] = b->scratch[i] < 0;
}

static const task steps[2] = {scale, sign};

const model_info *toy_info(void) { return &info; }

int32_t toy_infer(const void *const *in, void *const *out, void *workspace, const exec *e) {
#ifdef TOY_UNDEFINED
  not_defined();
  not_defined_either();
#endif
#ifdef TOY_WRITABLE
  calls += counter;
#endif
  if (TOY_STATUS) return TOY_STATUS;
  if ((uintptr_t)workspace % 64 || (uintptr_t)factor % 64) return -2;
  buffers b = {in[0], out[0], workspace, out[1]};
  uint64_t time = e && e->clock ? e->clock(e->context) : 0;
  for (int step = 0; step < 2; step++) {
    if (e && e->parallel_for) e->parallel_for(e->context, ITEMS, steps[step], &b);
    else steps[step](&b, 0, ITEMS);
    if (!e || !e->clock) continue;
    uint64_t now = e->clock(e->context);
    e->layer_ns[step] += now - time;
    time = now;
  }
  return 0;
}
