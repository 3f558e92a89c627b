/* The wall clock of one process is wrong by as many seconds as stand in the file
 * that CLOCK_SKEW names, which may change while the process runs.
 *
 * Only clock_gettime is answered in another way, by which Rust asks for the time.
 * What waits for a moment of the wall clock (pthread_cond_timedwait) goes by the
 * kernel's and works that moment out by gettimeofday, so that waiting stays right.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *seconds;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_SKEW");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) {
        return;
    }
    void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) {
        seconds = mapped;
    }
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = (int)syscall(SYS_clock_gettime, clock, at);
    if (!failed && seconds && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        at->tv_sec += *seconds;
    }
    return failed;
}
