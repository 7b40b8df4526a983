// Linked list, small matrix and state machine work in the manner of CoreMark.
#include "kernel.h"
struct node { struct node *next; int16_t value, index; };
enum { NODES = 600, DIM = 24, ROUNDS = 500 };
static struct node nodes[NODES];
static struct node *merge(struct node *a, struct node *b, int by) {
  struct node head, *t = &head;
  while (a && b) {
    int first = by ? a->index <= b->index : a->value <= b->value;
    if (first) t->next = a, t = a, a = a->next;
    else t->next = b, t = b, b = b->next;
  }
  t->next = a ? a : b;
  return head.next;
}
static struct node *sort(struct node *l, int by) {
  if (!l || !l->next) return l;
  struct node *slow = l, *fast = l->next;
  while (fast && fast->next) slow = slow->next, fast = fast->next->next;
  struct node *r = slow->next;
  slow->next = 0;
  return merge(sort(l, by), sort(r, by), by);
}
static uint32_t matrix(int16_t v) {
  static int32_t a[DIM][DIM], b[DIM][DIM], c[DIM][DIM];
  for (int i = 0; i < DIM; i++)
    for (int j = 0; j < DIM; j++) a[i][j] = (i * j + v) % 97, b[i][j] = (i + j * v) % 89;
  uint32_t sum = 0;
  for (int i = 0; i < DIM; i++)
    for (int j = 0; j < DIM; j++) {
      int32_t s = 0;
      for (int k = 0; k < DIM; k++) s += a[i][k] * b[k][j];
      c[i][j] = s;
      sum = sum * 31 + (uint32_t)c[i][j];
    }
  return sum;
}
static uint32_t states(const char *s, int n) { // which kinds of number stand in a text
  enum { START, INT, FLOAT, EXP, BAD } st = START;
  uint32_t count[5] = {0};
  for (int i = 0; i < n; i++) {
    char c = s[i];
    if (c == ',') { count[st]++; st = START; continue; }
    switch (st) {
    case START: st = c == '+' || c == '-' || (c >= '0' && c <= '9') ? INT : c == '.' ? FLOAT : BAD; break;
    case INT: st = c >= '0' && c <= '9' ? INT : c == '.' ? FLOAT : c == 'e' ? EXP : BAD; break;
    case FLOAT: st = c >= '0' && c <= '9' ? FLOAT : c == 'e' ? EXP : BAD; break;
    case EXP: st = c == '+' || c == '-' || (c >= '0' && c <= '9') ? EXP : BAD; break;
    case BAD: break;
    }
  }
  return count[0] + 3 * count[1] + 5 * count[2] + 7 * count[3] + 11 * count[4];
}
int main(void) {
  uint64_t seed = 3, h = 1;
  char text[2000];
  for (int i = 0; i < (int)sizeof text; i++) text[i] = "0123456789+-.e,,x"[next(&seed) % 17];
  for (int r = 0; r < ROUNDS; r++) {
    for (int i = 0; i < NODES; i++) {
      nodes[i].next = i + 1 < NODES ? &nodes[i + 1] : 0;
      nodes[i].value = next(&seed) % 3000;
      nodes[i].index = i;
    }
    struct node *l = sort(nodes, 0);
    for (struct node *n = l; n; n = n->next) h = mix(h, n->index);
    l = sort(l, 1);
    h = mix(h, l->value);
    h = mix(h, matrix(r));
    text[next(&seed) % sizeof text] = '7';
    h = mix(h, states(text, sizeof text));
  }
  return report(h);
}
