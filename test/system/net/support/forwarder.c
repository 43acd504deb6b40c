/*
 * Joins pairs of Ethernet interfaces and spoils what passes: delay, jitter, loss, bandwidth. For tests, where the kernel has no
 * netem.
 *
 *   forwarder NAME:IFACE_A:IFACE_B ...
 *
 * Says "ready" on stdout, then obeys lines on stdin, one answer a line ("ok", "error ...", or figures), and ends with stdin:
 *
 *   set NAME|* up|down|both [delay=ms] [jitter=ms] [loss=percent] [rate=bit/s] [limit=bytes]
 *   stats NAME up|down
 *
 * "up" is from A to B. The path of a frame: lost or not; then the bottleneck ("rate", whose queue of "limit" bytes drops at its
 * tail); then "delay" plus or minus "jitter", uniform. Frames keep their order, as on a path of one route. The interfaces must not
 * leave checksums or segmentation to hardware, which is not there: longer frames than 2048 bytes are dropped and counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_PAIRS 32
#define MAX_FRAME 2048
#define MAX_QUEUED 16384 /* frames in one direction: 32 MiB at most */
#define FRAMES_A_TURN 64 /* so that a flood one way never keeps the other waiting */

struct frame {
  int64_t due;
  size_t length;
  uint8_t bytes[];
};

struct direction {
  int from, to;
  double delay_ms, jitter_ms, loss;
  double rate;
  int64_t limit;
  int64_t link_free, last_due;
  struct frame *queue[MAX_QUEUED];
  unsigned head, count;
  uint64_t passed, lost, full, giant, failed;
};

struct pair {
  char name[32];
  struct direction *way[2];
};

static struct pair pairs[MAX_PAIRS];
static int pair_count;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what) {
  fprintf(stderr, "forwarder: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int open_interface(const char *name) {
  unsigned index = if_nametoindex(name);
  if (index == 0) die(name);
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  int on = 1, size = 4 << 20;
  /* What this program sends must not come back to it. */
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0) die("PACKET_IGNORE_OUTGOING");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die(name);
  return fd;
}

static struct direction *new_direction(int from, int to) {
  struct direction *d = calloc(1, sizeof *d);
  if (d == NULL) die("memory");
  d->from = from;
  d->to = to;
  d->limit = 64 * 1024;
  return d;
}

static void take(struct direction *d) {
  static uint8_t buffer[65536];
  for (int i = 0; i < FRAMES_A_TURN; i++) {
    ssize_t length = recv(d->from, buffer, sizeof buffer, MSG_TRUNC);
    if (length < 0) return; /* EAGAIN, or ENETDOWN while an interface is taken down */
    if (length > MAX_FRAME) {
      d->giant++;
      continue;
    }
    if (d->loss > 0 && drand48() * 100 < d->loss) {
      d->lost++;
      continue;
    }
    int64_t now = now_ns(), sent = now;
    if (d->rate > 0) {
      if (d->link_free < now) d->link_free = now;
      double backlog = (double)(d->link_free - now) * d->rate / 8e9;
      if (backlog + (double)length > (double)d->limit) {
        d->full++;
        continue;
      }
      d->link_free += (int64_t)((double)length * 8e9 / d->rate);
      sent = d->link_free;
    }
    double wait = d->delay_ms + d->jitter_ms * (2 * drand48() - 1);
    int64_t due = sent + (int64_t)((wait > 0 ? wait : 0) * 1e6);
    if (due < d->last_due) due = d->last_due;
    struct frame *f = d->count < MAX_QUEUED ? malloc(sizeof *f + (size_t)length) : NULL;
    if (f == NULL) {
      d->full++;
      continue;
    }
    d->last_due = due;
    f->due = due;
    f->length = (size_t)length;
    memcpy(f->bytes, buffer, f->length);
    d->queue[(d->head + d->count++) % MAX_QUEUED] = f;
  }
}

/* Sends what is due; returns when the next frame is, or `otherwise`. */
static int64_t release(struct direction *d, int64_t otherwise) {
  while (d->count > 0) {
    struct frame *f = d->queue[d->head];
    if (f->due > now_ns()) return f->due < otherwise ? f->due : otherwise;
    if (send(d->to, f->bytes, f->length, 0) < 0) d->failed++;
    else d->passed++;
    free(f);
    d->head = (d->head + 1) % MAX_QUEUED;
    d->count--;
  }
  return otherwise;
}

static int apply(struct direction *d, const char *key, const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end != '\0' || !(value >= 0)) return 0;
  if (strcmp(key, "delay") == 0 && value <= 10000) d->delay_ms = value;
  else if (strcmp(key, "jitter") == 0 && value <= 10000) d->jitter_ms = value;
  else if (strcmp(key, "loss") == 0 && value <= 100) d->loss = value;
  else if (strcmp(key, "rate") == 0 && value <= 1e11) d->rate = value;
  else if (strcmp(key, "limit") == 0 && value <= 1e9) d->limit = (int64_t)value;
  else return 0;
  return 1;
}

static void obey(char *line) {
  char *state, *verb = strtok_r(line, " ", &state), *name = strtok_r(NULL, " ", &state);
  char *ways = strtok_r(NULL, " ", &state);
  int set = verb != NULL && strcmp(verb, "set") == 0, found = 0;
  if (ways == NULL || (!set && strcmp(verb, "stats") != 0)) {
    printf("error what?\n");
    return;
  }
  char *rest[8];
  int settings = 0;
  for (char *s; (s = strtok_r(NULL, " ", &state)) != NULL && settings < 8;) rest[settings++] = s;
  for (int p = 0; p < pair_count; p++) {
    if (strcmp(name, "*") != 0 && strcmp(name, pairs[p].name) != 0) continue;
    for (int w = 0; w < 2; w++) {
      if (strcmp(ways, "both") != 0 && strcmp(ways, w == 0 ? "up" : "down") != 0) continue;
      struct direction *d = pairs[p].way[w];
      if (!set) {
        printf("{\"passed\":%lu,\"lost\":%lu,\"full\":%lu,\"giant\":%lu,\"failed\":%lu,\"queued\":%u}\n", d->passed, d->lost,
               d->full, d->giant, d->failed, d->count);
        return;
      }
      for (int i = 0; i < settings; i++) {
        char key[16];
        char *equals = strchr(rest[i], '=');
        if (equals == NULL || equals - rest[i] >= (long)sizeof key) {
          printf("error %s\n", rest[i]);
          return;
        }
        memcpy(key, rest[i], (size_t)(equals - rest[i]));
        key[equals - rest[i]] = '\0';
        if (!apply(d, key, equals + 1)) {
          printf("error %s\n", rest[i]);
          return;
        }
      }
      found = 1;
    }
  }
  printf(found ? "ok\n" : "error no such pair or direction\n");
}

/* Reads what there is; 0 at the end of stdin. */
static int commands(void) {
  static char text[4096];
  static size_t held;
  ssize_t length = read(0, text + held, sizeof text - 1 - held);
  if (length <= 0) return 0;
  held += (size_t)length;
  text[held] = '\0';
  char *start = text, *end;
  while ((end = strchr(start, '\n')) != NULL) {
    *end = '\0';
    obey(start);
    start = end + 1;
  }
  held -= (size_t)(start - text);
  memmove(text, start, held);
  if (held == sizeof text - 1) held = 0; /* no line is that long */
  fflush(stdout);
  return 1;
}

int main(int argc, char **argv) {
  struct pollfd polled[1 + 2 * MAX_PAIRS] = {{.fd = 0, .events = POLLIN}};
  srand48(now_ns());
  for (int i = 1; i < argc && pair_count < MAX_PAIRS; i++) {
    char a[IFNAMSIZ], b[IFNAMSIZ];
    struct pair *p = &pairs[pair_count];
    if (sscanf(argv[i], "%31[^:]:%15[^:]:%15s", p->name, a, b) != 3) {
      fprintf(stderr, "forwarder: not a pair: %s\n", argv[i]);
      return 2;
    }
    int fa = open_interface(a), fb = open_interface(b);
    p->way[0] = new_direction(fa, fb);
    p->way[1] = new_direction(fb, fa);
    polled[1 + 2 * pair_count] = (struct pollfd){.fd = fa, .events = POLLIN};
    polled[2 + 2 * pair_count] = (struct pollfd){.fd = fb, .events = POLLIN};
    pair_count++;
  }
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    int64_t due = INT64_MAX;
    for (int p = 0; p < pair_count; p++)
      for (int w = 0; w < 2; w++) due = release(pairs[p].way[w], due);
    int64_t wait = due == INT64_MAX ? 3600000000000 : due - now_ns();
    if (wait < 0) wait = 0;
    struct timespec timeout = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
    if (ppoll(polled, 1 + 2 * (nfds_t)pair_count, &timeout, NULL) < 0 && errno != EINTR) die("poll");
    if (polled[0].revents != 0 && !commands()) return 0;
    for (int i = 0; i < 2 * pair_count; i++)
      if (polled[1 + i].revents != 0) take(pairs[i / 2].way[i % 2]);
  }
}
