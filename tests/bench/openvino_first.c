/* The least a C program needs for one inference with OpenVINO: openvino_first MODEL.xml INPUT.bin. Prints one output value. */
#include <openvino/c/openvino.h>
#include <stdio.h>

#define TRY(call)                                                          \
  do {                                                                     \
    ov_status_e status = (call);                                           \
    if (status != OK) {                                                    \
      fprintf(stderr, "%s: %s\n", #call, ov_get_error_info(status));       \
      return 1;                                                            \
    }                                                                      \
  } while (0)

int main(int argc, char **argv) {
  ov_core_t *core = NULL;
  ov_model_t *model = NULL;
  ov_compiled_model_t *compiled = NULL;
  ov_infer_request_t *request = NULL;
  ov_tensor_t *input = NULL, *output = NULL;
  void *data = NULL;
  size_t size = 0;
  FILE *file;
  if (argc != 3) return 2;
  TRY(ov_core_create(&core));
  TRY(ov_core_read_model(core, argv[1], NULL, &model));
  TRY(ov_core_compile_model(core, model, "CPU", 4, &compiled, "INFERENCE_NUM_THREADS", "1", "PERFORMANCE_HINT",
                            "LATENCY"));
  TRY(ov_compiled_model_create_infer_request(compiled, &request));
  TRY(ov_infer_request_get_input_tensor(request, &input));
  TRY(ov_tensor_data(input, &data));
  TRY(ov_tensor_get_byte_size(input, &size));
  file = fopen(argv[2], "rb");
  if (file == NULL || fread(data, 1, size, file) != size) return 4;
  fclose(file);
  TRY(ov_infer_request_infer(request));
  TRY(ov_infer_request_get_output_tensor(request, &output));
  TRY(ov_tensor_data(output, &data));
  printf("%g\n", (double)*(float *)data);
  return 0;
}
