/* Reads a handwritten digit: classify IMAGES.npy INDEX. Prints its class, and the bits of what the model says. */
#include "digits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All memory of the model; nothing is allocated. */
static float image[DIGITS_INPUT_IMAGE_ELEMENTS], logits[DIGITS_OUTPUT_LOGITS_ELEMENTS];
static char memory[DIGITS_WORKSPACE_BYTES + DIGITS_WORKSPACE_ALIGN];

/* The images follow the header of the file, whose length stands in bytes 8 and 9. */
static int read_image(const char *path, long index) {
  unsigned char start[10];
  FILE *file = fopen(path, "rb");
  int done = file != NULL && fread(start, sizeof start, 1, file) == 1 &&
             fseek(file, 10 + start[8] + 256L * start[9] + index * (long)sizeof image, SEEK_SET) == 0 &&
             fread(image, sizeof image, 1, file) == 1;
  if (file != NULL) fclose(file);
  return done;
}

int main(int argc, char **argv) {
  if (argc != 3 || !read_image(argv[1], atol(argv[2]))) {
    fprintf(stderr, "usage: classify digits_images.npy INDEX\n");
    return 2;
  }
  uintptr_t begin = (uintptr_t)memory % DIGITS_WORKSPACE_ALIGN;
  char *workspace = memory + (begin == 0 ? 0 : DIGITS_WORKSPACE_ALIGN - begin);

  digits_inputs inputs = {image};
  digits_outputs outputs = {logits};
  int32_t status = digits_infer(&inputs, &outputs, workspace, NULL);
  if (status != OCTET_OK) {
    fprintf(stderr, "classify: %s (the model is for %s)\n", octet_status_string(status), DIGITS_CPU);
    return 1;
  }

  unsigned best = 0;
  for (unsigned i = 1; i < DIGITS_OUTPUT_LOGITS_ELEMENTS; i++)
    if (logits[i] > logits[best]) best = i;
  printf("class %u\nbits", best);
  for (unsigned i = 0; i < DIGITS_OUTPUT_LOGITS_ELEMENTS; i++) {
    uint32_t bits;
    memcpy(&bits, &logits[i], sizeof bits);
    printf(" %08x", (unsigned)bits);
  }
  printf("\n");
  return 0;
}
