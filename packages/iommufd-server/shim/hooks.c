/* The calls of libc that a program's use of /dev/iommu goes through. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim.h"

#define CONTEXT_PATH "/dev/iommu"
#define DEVICE_PREFIX "/dev/vfio/devices/"

#define EXPORT __attribute__((visibility("default")))

static bool is_ours(const char *path)
{
	return path && (!strcmp(path, CONTEXT_PATH) || !strncmp(path, DEVICE_PREFIX, sizeof(DEVICE_PREFIX) - 1));
}

static int open_path(int dir, const char *path, int flags, mode_t mode)
{
	int fd;

	if (is_ours(path))
		return shim_connect(0, flags, strcmp(path, CONTEXT_PATH) ? path : NULL);
	if (path && !strncmp(path, "/proc/", 6) && (fd = shim_status(path, flags)) >= 0)
		return fd;
	return syscall(SYS_openat, dir, path, flags, mode);
}

#define MODE_OF(flags, last) \
	mode_t mode = 0; \
	if ((flags) & (O_CREAT | __O_TMPFILE)) { \
		va_list list; \
		va_start(list, last); \
		mode = va_arg(list, mode_t); \
		va_end(list); \
	}

EXPORT int open(const char *path, int flags, ...)
{
	MODE_OF(flags, flags)
	return open_path(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
	MODE_OF(flags, flags)
	return open_path(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

EXPORT int openat(int dir, const char *path, int flags, ...)
{
	MODE_OF(flags, flags)
	return open_path(dir, path, flags, mode);
}

EXPORT int openat64(int dir, const char *path, int flags, ...)
{
	MODE_OF(flags, flags)
	return open_path(dir, path, flags | O_LARGEFILE, mode);
}

EXPORT int __open_2(const char *path, int flags)
{
	return open_path(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags)
{
	return open_path(AT_FDCWD, path, flags | O_LARGEFILE, 0);
}

EXPORT int __openat_2(int dir, const char *path, int flags)
{
	return open_path(dir, path, flags, 0);
}

EXPORT int __openat64_2(int dir, const char *path, int flags)
{
	return open_path(dir, path, flags | O_LARGEFILE, 0);
}

static FILE *open_stream(const char *name, const char *path, const char *mode)
{
	FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, name);
	int fd = path && mode && mode[0] == 'r' ? shim_status(path, strchr(mode, 'e') ? O_CLOEXEC : 0) : -1;

	return fd >= 0 ? fdopen(fd, mode) : real(path, mode);
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
	return open_stream("fopen", path, mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
	return open_stream("fopen64", path, mode);
}

EXPORT int access(const char *path, int mode)
{
	return is_ours(path) ? 0 : syscall(SYS_faccessat, AT_FDCWD, path, mode);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct connection *ours = shim_find(fd);
	unsigned long argument;
	va_list list;

	va_start(list, request);
	argument = va_arg(list, unsigned long);
	va_end(list);
	if (!ours)
		return syscall(SYS_ioctl, fd, request, argument);
	return shim_call_with_memory(ours, fd, &(struct call){ .type = IOCTL, .args = { (uint32_t)request, argument } }, argument);
}

EXPORT ssize_t read(int fd, void *buffer, size_t count)
{
	struct connection *ours = shim_find(fd);

	if (!ours)
		return syscall(SYS_read, fd, buffer, count);
	return shim_call(ours, fd, &(struct call){ .type = READ, .args = { (uintptr_t)buffer, count } });
}

EXPORT ssize_t __read_chk(int fd, void *buffer, size_t count, size_t room)
{
	return read(fd, buffer, count < room ? count : room);
}

EXPORT ssize_t write(int fd, const void *buffer, size_t count)
{
	struct connection *ours = shim_find(fd);
	struct call call = { .type = WRITE, .args = { (uintptr_t)buffer, count } };

	return ours ? shim_call_with_memory(ours, fd, &call, (uintptr_t)buffer) : syscall(SYS_write, fd, buffer, count);
}

/* One piece after the other, up to the first that is not whole. */
static ssize_t pieces(int fd, const struct iovec *vector, int count, bool writing)
{
	ssize_t total = 0;

	for (int i = 0; i < count; i++) {
		ssize_t done = writing ? write(fd, vector[i].iov_base, vector[i].iov_len) :
					 read(fd, vector[i].iov_base, vector[i].iov_len);

		if (done < 0)
			return total ? total : -1;
		total += done;
		if ((size_t)done < vector[i].iov_len)
			break;
	}
	return total;
}

EXPORT ssize_t readv(int fd, const struct iovec *vector, int count)
{
	return shim_find(fd) ? pieces(fd, vector, count, false) : syscall(SYS_readv, fd, vector, count);
}

EXPORT ssize_t writev(int fd, const struct iovec *vector, int count)
{
	return shim_find(fd) ? pieces(fd, vector, count, true) : syscall(SYS_writev, fd, vector, count);
}

static void *map(void *hint, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct connection *ours = flags & MAP_ANONYMOUS ? NULL : shim_find(fd);

	if (ours)
		return shim_map(fd, ours, hint, length, prot, flags, offset);
	return (void *)syscall(SYS_mmap, hint, length, prot, flags, fd, offset);
}

EXPORT void *mmap(void *hint, size_t length, int prot, int flags, int fd, off_t offset)
{
	return map(hint, length, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *hint, size_t length, int prot, int flags, int fd, off_t offset)
{
	return map(hint, length, prot, flags, fd, offset);
}

EXPORT int munmap(void *address, size_t length)
{
	return shim_unmap(address, length) ? 0 : syscall(SYS_munmap, address, length);
}

EXPORT int close(int fd)
{
	return shim_close(fd);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	if (flags == 0)
		shim_close_range(first, last);
	return syscall(SYS_close_range, first, last, flags);
}

/* `made` is what a real call answered for a copy of `fd`. */
static int copied(int fd, int made)
{
	struct connection *ours = made >= 0 && made != fd ? shim_find(fd) : NULL;

	if (ours)
		shim_add(made, ours);
	return made;
}

EXPORT int dup(int fd)
{
	return copied(fd, syscall(SYS_dup, fd));
}

EXPORT int dup3(int fd, int wanted, int flags)
{
	if (fd != wanted && shim_find(wanted) && syscall(SYS_fcntl, fd, F_GETFD) >= 0)
		shim_close(wanted);
	return copied(fd, syscall(SYS_dup3, fd, wanted, flags));
}

EXPORT int dup2(int fd, int wanted)
{
	if (fd == wanted)
		return syscall(SYS_fcntl, fd, F_GETFD) < 0 ? -1 : fd;
	return dup3(fd, wanted, 0);
}

static int control(int fd, int command, unsigned long argument)
{
	int result = syscall(SYS_fcntl, fd, command, argument);

	return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result;
}

#define CONTROL(name) \
	EXPORT int name(int fd, int command, ...) \
	{ \
		unsigned long argument; \
		va_list list; \
		va_start(list, command); \
		argument = va_arg(list, unsigned long); \
		va_end(list); \
		return control(fd, command, argument); \
	}

CONTROL(fcntl)
CONTROL(fcntl64)

EXPORT pid_t fork(void)
{
	pid_t (*real)(void) = dlsym(RTLD_NEXT, "fork");
	pid_t pid;
	int error;

	shim_lock_table();
	shim_count_copies(1);
	pid = real();
	error = errno;
	if (pid < 0)
		shim_count_copies(-1);
	shim_unlock_table();
	if (pid == 0)
		shim_forget_regions();
	errno = error;
	return pid;
}

/* A program that ends in the ordinary way says goodbye for every file it leaves open. */
__attribute__((destructor)) static void leave(void)
{
	shim_unmap_all();
	shim_close_range(0, ~0u);
}
