// mandelbrot reads a line "a b" and writes the rows a <= y < b of a picture of
// the Mandelbrot set, one byte a pixel: black inside, lighter the longer a point
// takes to leave. The tile with row 0 begins with the header of a PGM file, so
// the tiles of all rows, one after the other, are the picture.
//
// Arguments: width, height and iterations, each with a default.
#include "../common/text.h"

static char input[64];
static uint64_t width = 800, height = 600, most = 2000;

static uint64_t argument(const char *text, uint64_t max) {
  uint64_t n;
  const char *end = text + strlen(text);
  if (!number(&text, end, &n) || text != end || n < 1 || n > max)
    fail("mandelbrot", 0, "want arguments WIDTH HEIGHT ITERATIONS, up to 65536, 65536 and 1000000");
  return n;
}

// escape returns after how many steps of z -> z*z + c |z| is over 2.
static uint64_t escape(double cx, double cy) {
  double x = 0, y = 0;
  uint64_t i = 0;
  for (; i < most; i++) {
    double xx = x * x, yy = y * y;
    if (xx + yy > 4) break;
    y = 2 * x * y + cy;
    x = xx - yy + cx;
  }
  return i;
}

static void put_row(uint64_t y) {
  double step = 3.0 / (double)width, cy = ((double)y + 0.5 - (double)height / 2) * step;
  for (uint64_t x = 0; x < width; x++) {
    double cx = ((double)x + 0.5 - (double)width / 2) * step - 0.75;
    uint64_t steps = escape(cx, cy);
    // Spreads the few steps that most points take.
    put(steps == most ? 0 : (char)(uint8_t)(255 * steps / (steps + 16)));
  }
}

int main(int argc, char **argv) {
  uint64_t a, b, next; // next is the state: the first row not written
  if (argc > 1) width = argument(argv[1], 65536);
  if (argc > 2) height = argument(argv[2], 65536);
  if (argc > 3) most = argument(argv[3], 1000000);
  range("mandelbrot", input, read_input("mandelbrot", input, sizeof input), &a, &b);
  if (b > height) fail("mandelbrot", 1, "there are not so many rows");
  if (!countersign_restore(&next, sizeof next)) {
    next = a;
    if (a == 0 && b > 0) put_text("P5\n"), put_number(width), put(' '), put_number(height), put_text("\n255\n");
  }
  while (next < b) {
    report(next - a, b - a, "row ", next);
    put_row(next++);
    pause_if_due(&next, sizeof next);
  }
  flush();
  return 0;
}
