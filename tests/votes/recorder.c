/* Records what a process writes below a folder, in order, with every sync that succeeded and all that it prints:
 * LD_PRELOAD=recorder.so RECORD_UNDER=/folder RECORD_TO=/log. A record is a line "KIND OFFSET LENGTH PATH\n" and
 * LENGTH bytes: o opened to write, w written, t truncated to OFFSET, s synced, u unlinked, a printed to fd 1.
 * recorder_fail(after, count, error) makes some of the writes and syncs to come fail. Without RECORD_TO nothing is
 * recorded.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 1024
static char *names[MOST];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int to = -1;

static int failing_after, failing, failing_with;

void recorder_fail(int after, int count, int error) {
    pthread_mutex_lock(&lock);
    failing_after = after, failing = count, failing_with = error;
    pthread_mutex_unlock(&lock);
}

static int fails(void) {
    int now = 0;
    pthread_mutex_lock(&lock);
    if (failing_after > 0)
        failing_after--;
    else if (failing > 0)
        failing--, now = 1;
    pthread_mutex_unlock(&lock);
    if (now) errno = failing_with;
    return now;
}

static int under(const char *path) {
    const char *folder = getenv("RECORD_UNDER");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static void put(const void *bytes, size_t count) {
    const char *left = bytes;
    while (count > 0) {
        long done = syscall(SYS_write, to, left, count);
        if (done <= 0) abort();
        left += done;
        count -= done;
    }
}

static void record(char kind, const char *path, long offset, const void *bytes, size_t count) {
    char head[4096 + 64];
    if (!getenv("RECORD_TO")) return;
    pthread_mutex_lock(&lock);
    if (to < 0)
        to = syscall(SYS_openat, AT_FDCWD, getenv("RECORD_TO"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    put(head, snprintf(head, sizeof head, "%c %ld %zu %s\n", kind, offset, count, path));
    put(bytes, count);
    pthread_mutex_unlock(&lock);
}

static const char *name_of(int fd) { return fd >= 0 && fd < MOST ? names[fd] : NULL; }

static int opened(int fd, const char *path, int flags) {
    if (fd >= 0 && fd < MOST && under(path)) {
        names[fd] = strdup(path);
        if (flags & (O_WRONLY | O_RDWR)) record('o', path, 0, "", 0);
    }
    return fd;
}

#define OPEN(name)                                                                    \
    int name(const char *path, int flags, ...) {                                      \
        static int (*real)(const char *, int, ...);                                   \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                    \
        va_list more;                                                                 \
        va_start(more, flags);                                                        \
        int mode = va_arg(more, int);                                                 \
        va_end(more);                                                                 \
        return opened(real(path, flags, mode), path, flags);                          \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (fd >= 0 && fd < MOST) names[fd] = NULL;
    return syscall(SYS_close, fd);
}

#define PWRITE(name)                                                                  \
    ssize_t name(int fd, const void *bytes, size_t count, off_t offset) {             \
        if (name_of(fd) && fails()) return -1;                                        \
        ssize_t done = syscall(SYS_pwrite64, fd, bytes, count, offset);               \
        if (done > 0 && name_of(fd)) record('w', name_of(fd), offset, bytes, done);   \
        return done;                                                                  \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *bytes, size_t count) {
    if (fd == 1) record('a', "-", 0, bytes, count); /* before it is seen: what is acknowledged is on the disk */
    long offset = name_of(fd) ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t done = syscall(SYS_write, fd, bytes, count);
    if (done > 0 && name_of(fd)) record('w', name_of(fd), offset, bytes, done);
    return done;
}

#define TRUNCATE(name)                                                                \
    int name(int fd, off_t size) {                                                    \
        int failed = syscall(SYS_ftruncate, fd, size);                                \
        if (!failed && name_of(fd)) record('t', name_of(fd), size, "", 0);            \
        return failed;                                                                \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(name, number)                                                            \
    int name(int fd) {                                                                \
        if (name_of(fd) && fails()) return -1;                                        \
        int failed = syscall(number, fd);                                             \
        if (!failed && name_of(fd)) record('s', name_of(fd), 0, "", 0);               \
        return failed;                                                                \
    }
SYNC(fsync, SYS_fsync)
SYNC(fdatasync, SYS_fdatasync)

int unlink(const char *path) {
    int failed = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (!failed && under(path)) record('u', path, 0, "", 0);
    return failed;
}
