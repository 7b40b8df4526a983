// output writes for ever: until the limit for the output, or, with the argument
// "nothing", nothing at all each time, until the fuel is used up.
#include "../../common/text.h"

int main(int argc, char **argv) {
  static const char text[] = "All work and no play makes Jack a dull boy.\n";
  size_t n = argc > 1 && strcmp(argv[1], "nothing") == 0 ? 0 : sizeof text - 1;
  for (;;) write(1, text, n);
}
