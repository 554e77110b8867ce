// Two mounted trees compared by one thread: both directories listed and sorted, each name of both asked for
// by fstatat. As the library does, it takes a file with the same inode number, size and times for the same
// file.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plan.h"

struct names {
  char** list;
  size_t count;
  size_t room;
};

static int by_bytes(const void* a, const void* b) { return strcmp(*(char* const*)a, *(char* const*)b); }

static struct names read_names(int directory) {
  struct names names = {0};
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = copy < 0 ? NULL : fdopendir(copy);
  if (!stream) die("opendir", "");
  for (struct dirent* entry; (entry = readdir(stream));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (names.count == names.room) {
      names.room = names.room ? 2 * names.room : 64;
      names.list = realloc(names.list, names.room * sizeof(*names.list));
      if (!names.list) die("realloc", "");
    }
    names.list[names.count++] = strdup(entry->d_name);
  }
  closedir(stream);
  if (names.count) qsort(names.list, names.count, sizeof(*names.list), by_bytes);
  return names;
}

static void free_names(struct names* names) {
  for (size_t i = 0; i < names->count; i++) free(names->list[i]);
  free(names->list);
}

static struct stat look(int directory, const char* name) {
  struct stat found;
  if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) < 0) die("fstatat", name);
  return found;
}

static bool same_time(struct timespec a, struct timespec b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same(const struct stat* a, const struct stat* b) {
  if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid) return false;
  if (S_ISDIR(a->st_mode)) return true;
  return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_rdev == b->st_rdev &&
         same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

static uint32_t compare(int lower, int upper);

static uint32_t compare_inside(int lower, int upper, const char* name) {
  int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  int below = openat(lower, name, flags), above = openat(upper, name, flags);
  if (below < 0 || above < 0) die("openat", name);
  uint32_t changes = compare(below, above);
  close(below);
  close(above);
  return changes;
}

// Names that are in one tree only, and what differs of those in both.
static uint32_t compare(int lower, int upper) {
  struct names below = read_names(lower), above = read_names(upper);
  uint32_t changes = 0;
  for (size_t i = 0, j = 0; i < below.count || j < above.count;) {
    int order = i == below.count ? 1 : j == above.count ? -1 : strcmp(below.list[i], above.list[j]);
    if (order != 0) {
      look(order < 0 ? lower : upper, order < 0 ? below.list[i++] : above.list[j++]);
      changes++;
      continue;
    }
    struct stat old = look(lower, below.list[i]), new = look(upper, above.list[j]);
    if (!same(&old, &new)) changes++;
    if (S_ISDIR(old.st_mode) && S_ISDIR(new.st_mode)) changes += compare_inside(lower, upper, below.list[i]);
    i++, j++;
  }
  free_names(&below);
  free_names(&above);
  return changes;
}

static int open_tree(struct plan* plan, const char* name) {
  char path[512];
  snprintf(path, sizeof(path), "%s/%s", plan->directory, name);
  int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (tree < 0) die("open", path);
  return tree;
}

static void diff_item(uint32_t index, void* context) {
  struct plan* plan = context;
  (void)index;
  int lower = open_tree(plan, "lower"), upper = open_tree(plan, "upper");
  uint32_t changes = compare(lower, upper);
  close(lower);
  close(upper);
  errno = ERANGE;
  if (changes != plan->count) die("changes", "another number than was made");
}

void diff_trees(struct plan* plan) {
  struct samples* list[] = {samples_new("diff")};
  for (uint32_t i = 0; i < plan->repeats; i++) timed(plan, list[0], diff_item, i);
  samples_print(list, 1);
}
