#include "system/system_call.h"

#ifdef DM_THIN_FAULTS
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <new>
#include <string>
#include <vector>

namespace dmthin {
namespace {

struct Fault {
  std::string operations;
  int remaining;
  FaultKind kind;
  int value;
};

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
std::vector<Fault>& armed() {
  static auto* faults = new std::vector<Fault>();  // never destroyed: threads may outlive static objects
  return *faults;
}

/// A call that waits for the test, by the number that the test has given it.
struct Stop {
  bool reached = false;
  bool released = false;
};
std::map<int, Stop>& stops() {
  static auto* all = new std::map<int, Stop>();
  return *all;
}

bool acts_after(FaultKind kind) { return kind == FaultKind::kKillAfter || kind == FaultKind::kFailAfter; }

/// Returns whether `operation` is among `operations`: one name, several with a bar between two, or `*` for
/// any.
bool names(const std::string& operations, const char* operation) {
  if (operations == "*" || operations == operation) return true;
  return ("|" + operations + "|").find("|" + std::string(operation) + "|") != std::string::npos;
}

/// Counts one call of `operation` against the armed faults of this phase; the one that is due is disarmed.
bool take(const char* operation, bool after, Fault* due) {
  pthread_mutex_lock(&lock);
  bool found = false;
  auto& faults = armed();
  for (size_t i = 0; i < faults.size(); ++i) {
    if (!names(faults[i].operations, operation)) continue;
    if (acts_after(faults[i].kind) != after) continue;
    if (--faults[i].remaining > 0) continue;
    *due = faults[i];
    faults.erase(faults.begin() + static_cast<long>(i));
    found = true;
    break;
  }
  pthread_mutex_unlock(&lock);
  return found;
}

bool released(int stop) {
  pthread_mutex_lock(&lock);
  Stop& each = stops()[stop];
  each.reached = true;
  const bool is_released = each.released;
  pthread_mutex_unlock(&lock);
  return is_released;
}

/// Waits until the test releases the call, or until the signal comes that ends the waits of a cancelled call.
void wait_at(int stop) {
  while (!released(stop) && usleep(1000) == 0) {
  }
}

/// Sends the name of the next operation to the test, and waits until the test continues the call.
void hold(const char* operation, int socket) {
  const std::string line = std::string(operation) + "\n";
  char go = 0;
  if (::write(socket, line.data(), line.size()) < 0) return;
  while (::read(socket, &go, 1) < 0 && errno == EINTR) {
  }
}

}  // namespace

void set_fault(const char* operations, int nth, FaultKind kind, int value) {
  pthread_mutex_lock(&lock);
  armed().push_back(Fault{operations, nth, kind, value});
  if (kind == FaultKind::kWait) stops()[value] = {};
  pthread_mutex_unlock(&lock);
}

int clear_faults() {
  pthread_mutex_lock(&lock);
  const int left = static_cast<int>(armed().size());
  armed().clear();
  for (auto& [number, each] : stops()) each.released = true;
  pthread_mutex_unlock(&lock);
  return left;
}

bool fault_reached(int stop) {
  pthread_mutex_lock(&lock);
  const bool reached = stops()[stop].reached;
  pthread_mutex_unlock(&lock);
  return reached;
}

void release_fault(int stop) {
  pthread_mutex_lock(&lock);
  stops()[stop].released = true;
  pthread_mutex_unlock(&lock);
}

int fault_before(const char* operation) {
  Fault due{};
  if (!take(operation, false, &due)) return 0;
  if (due.kind == FaultKind::kKillBefore) kill(getpid(), SIGKILL);
  if (due.kind == FaultKind::kWait) wait_at(due.value);
  if (due.kind == FaultKind::kHold) hold(operation, due.value);
  if (due.kind == FaultKind::kThrow) throw std::bad_alloc();
  return due.kind == FaultKind::kFail ? due.value : 0;
}

int fault_after(const char* operation, int result) {
  Fault due{};
  if (!take(operation, true, &due)) return result;
  if (due.kind == FaultKind::kKillAfter) kill(getpid(), SIGKILL);
  return -due.value;
}

}  // namespace dmthin
#endif
