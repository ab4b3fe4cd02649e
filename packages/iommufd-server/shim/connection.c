#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "shim.h"

#define MAGIC_AND_VERSION (UINT64_C(0x44464f49) | UINT64_C(1) << 32)
/* Shorter than any frame but READY, so that reading this much never takes a READY from behind a RETURN. */
enum { HEAD_BYTES = 24, DEFAULT_TIMEOUT = 20 };

static void complain(const char *what)
{
	dprintf(STDERR_FILENO, "iommukit shim: %s\n", what);
}

static int timeout_seconds(void)
{
	const char *text = getenv("IOMMUFD_SHIM_TIMEOUT");
	int seconds = text ? atoi(text) : 0;

	return seconds > 0 ? seconds : DEFAULT_TIMEOUT;
}

/* 0: go on waiting. */
static int wait_for(int fd, short events)
{
	struct pollfd pollfd = { .fd = fd, .events = events };
	struct timespec limit = { .tv_sec = timeout_seconds() };
	long ready = syscall(SYS_ppoll, &pollfd, 1, &limit, NULL, 0);

	if (ready > 0 || (ready < 0 && errno == EINTR))
		return 0;
	if (ready == 0)
		errno = ETIMEDOUT;
	return -1;
}

/* The socket has a receive timeout; a program may also have made it non-blocking. */
static int retry(int fd, short events)
{
	if (errno == EINTR)
		return 0;
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		return -1;
	if (syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK)
		return wait_for(fd, events);
	errno = ETIMEDOUT;
	return -1;
}

int shim_receive(int fd, void *into, size_t count)
{
	for (size_t done = 0; done < count;) {
		ssize_t got = recv(fd, (char *)into + done, count - done, 0);

		if (got > 0) {
			done += got;
			continue;
		}
		if (got == 0)
			errno = EIO;
		if (got == 0 || retry(fd, POLLIN) < 0)
			return -1;
	}
	return 0;
}

int shim_send(int fd, const void *bytes, size_t count)
{
	for (size_t done = 0; done < count;) {
		ssize_t put = send(fd, (const char *)bytes + done, count - done, MSG_NOSIGNAL);

		if (put > 0)
			done += put;
		else if (retry(fd, POLLOUT) < 0)
			return -1;
	}
	return 0;
}

static int send_request(int fd, const struct call *call)
{
	uint8_t frame[HEADER_BYTES + REQUEST_BYTES + PREFETCH_LIMIT];
	uint32_t head[4] = { REQUEST_BYTES + call->prefetch_bytes, call->type, getpid(), syscall(SYS_gettid) };

	memcpy(frame, head, sizeof(head));
	memcpy(frame + sizeof(head), call->args, sizeof(call->args));
	if (call->prefetch_bytes)
		memcpy(frame + HEADER_BYTES + REQUEST_BYTES, call->prefetch, call->prefetch_bytes);
	return shim_send(fd, frame, HEADER_BYTES + REQUEST_BYTES + call->prefetch_bytes);
}

/* Serves asks until RETURN. -1 and errno: the connection is broken. */
static int await_return(int fd, int64_t *result, uint32_t *error)
{
	uint8_t head[HEAD_BYTES];
	size_t have = 0;

	for (;;) {
		uint32_t length, type;

		if (shim_receive(fd, head + have, sizeof(head) - have) < 0)
			return -1;
		memcpy(&length, head, 4);
		memcpy(&type, head + 4, 4);
		if (type == READY && length == 0) {
			have = sizeof(head) - HEADER_BYTES;
			memmove(head, head + HEADER_BYTES, have);
			continue;
		}
		have = 0;
		if (type == RETURN && length == 16) {
			memcpy(result, head + 8, 8);
			memcpy(error, head + 16, 4);
			return 0;
		}
		if (shim_answer(fd, head, length, type) < 0)
			return -1;
	}
}

static void lock(struct shared *shared)
{
	/* Who died inside a transaction left the stream somewhere in the middle. */
	if (pthread_mutex_lock(&shared->lock) == EOWNERDEAD) {
		shared->dead = 1;
		pthread_mutex_consistent(&shared->lock);
	}
}

long shim_call(struct connection *connection, int fd, const struct call *call)
{
	struct shared *shared = connection->shared;
	int64_t result = -1;
	uint32_t error = EIO;

	lock(shared);
	if (!shared->dead && (send_request(fd, call) < 0 || await_return(fd, &result, &error) < 0)) {
		shared->dead = 1;
		result = -1;
		error = errno == ETIMEDOUT ? ETIMEDOUT : EIO;
		if (call->type != CLOSE)
			complain(error == ETIMEDOUT ? "the server is silent" : "the connection to the server broke");
	}
	pthread_mutex_unlock(&shared->lock);
	if (result < 0)
		errno = error;
	return result < 0 ? -1 : (long)result;
}

long shim_call_with_memory(struct connection *connection, int fd, struct call *call, uint64_t address)
{
	uint8_t bytes[PREFETCH_LIMIT];
	int error;

	call->prefetch = bytes;
	call->prefetch_bytes = address ? shim_read_memory(0, address, bytes, sizeof(bytes), &error) : 0;
	return shim_call(connection, fd, call);
}

static struct connection *new_connection(uint64_t token)
{
	static uint32_t count;
	struct connection *connection = calloc(1, sizeof(*connection));
	pthread_mutexattr_t attributes;
	struct timespec now;

	if (!connection)
		return NULL;
	connection->shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (connection->shared == MAP_FAILED) {
		free(connection);
		return NULL;
	}
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&connection->shared->lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	clock_gettime(CLOCK_MONOTONIC, &now);
	connection->token = token;
	connection->name = (uint64_t)getpid() << 40 ^ (uint64_t)now.tv_nsec << 16 ^ __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
	return connection;
}

static void drop_connection(struct connection *connection)
{
	munmap(connection->shared, sizeof(struct shared));
	free(connection);
}

static int connect_socket(int flags)
{
	const char *path = getenv("IOMMUFD_SHIM_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = timeout_seconds() };
	int fd;

	if (!path || strlen(path) >= sizeof(address.sun_path)) {
		complain("IOMMUFD_SHIM_SOCKET names no socket");
		errno = ENODEV;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | (flags & O_CLOEXEC ? SOCK_CLOEXEC : 0), 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		complain("no server answers on the socket");
		syscall(SYS_close, fd);
		errno = ENODEV;
		return -1;
	}
	return fd;
}

/* The server takes a path of at most the prefetch's length; of a context it needs none. */
int shim_connect(uint64_t token, int flags, const char *path)
{
	struct connection *connection;
	struct call hello = { .type = HELLO, .args = { MAGIC_AND_VERSION, token, (uint32_t)flags } };
	int fd = connect_socket(flags);
	long result;

	if (fd < 0)
		return -1;
	connection = new_connection(token);
	if (!connection) {
		syscall(SYS_close, fd);
		errno = ENOMEM;
		return -1;
	}
	hello.args[3] = token ? 0 : connection->name;
	hello.prefetch = path;
	hello.prefetch_bytes = path ? strnlen(path, PREFETCH_LIMIT) : 0;
	result = token ? send_request(fd, &hello) : shim_call(connection, fd, &hello);
	if (result < 0) {
		int error = errno;

		syscall(SYS_close, fd);
		drop_connection(connection);
		errno = error;
		return -1;
	}
	shim_add(fd, connection);
	return fd;
}
