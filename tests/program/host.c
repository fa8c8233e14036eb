/* Calls the toy model from a static library. */
#include <stdint.h>
#include <stdio.h>

int32_t toy_infer(const void *const *, void *const *, void *, const void *);

int main(void) {
  static _Alignas(64) float workspace[16];
  float x[6] = {1, 2, 3, 4, 5, 6}, y[6];
  uint8_t negative[6];
  const void *inputs[] = {x};
  void *outputs[] = {y, negative};
  int32_t status = toy_infer(inputs, outputs, workspace, NULL);
  printf("%d: %g %g %g %g %g %g\n", status, y[0], y[1], y[2], y[3], y[4], y[5]);
  return 0;
}
