#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim.h"

typedef ssize_t transfer(pid_t, const struct iovec *, unsigned long, const struct iovec *, unsigned long, unsigned long);

/* Moves bytes up to the first fault; page protection counts, in our own memory as in another's. */
static size_t move(transfer *how, pid_t pid, uint64_t address, void *local, size_t count, int *error)
{
	size_t done = 0;

	*error = 0;
	while (done < count && !*error) {
		struct iovec here = { (char *)local + done, count - done };
		struct iovec there = { (void *)(uintptr_t)(address + done), count - done };
		ssize_t moved = how(pid ? pid : getpid(), &here, 1, &there, 1, 0);

		if (moved > 0)
			done += moved;
		else
			*error = moved < 0 && errno != EINVAL ? errno : EFAULT;
	}
	return done;
}

size_t shim_read_memory(pid_t pid, uint64_t address, void *into, size_t count, int *error)
{
	return move(process_vm_readv, pid, address, into, count, error);
}

static int reply(int fd, int error, uint32_t value, void *data, size_t bytes)
{
	uint32_t head[4] = { 8 + bytes, REPLY, error, value };

	if (bytes == 0)
		return shim_send(fd, head, sizeof(head));
	/* One send: the server reads it in one piece. `data` has room in front for the head. */
	memcpy((char *)data - sizeof(head), head, sizeof(head));
	return shim_send(fd, (char *)data - sizeof(head), sizeof(head) + bytes);
}

enum { HEAD_ROOM = 16 };

static int peek(int fd, pid_t pid, uint32_t count, uint64_t address)
{
	char *block = malloc(HEAD_ROOM + count);
	int error, sent;
	size_t done;

	if (!block)
		return reply(fd, ENOMEM, 0, NULL, 0);
	done = shim_read_memory(pid, address, block + HEAD_ROOM, count, &error);
	sent = reply(fd, error, done, block + HEAD_ROOM, done);
	free(block);
	return sent;
}

static int poke(int fd, pid_t pid, uint32_t count, uint64_t address)
{
	char *block = malloc(count ? count : 1);
	int error, sent = -1;

	if (!block)
		return -1;
	if (shim_receive(fd, block, count) == 0) {
		size_t done = move(process_vm_writev, pid, address, block, count, &error);

		sent = reply(fd, error, done, NULL, 0);
	}
	free(block);
	return sent;
}

static int new_descriptor(int fd, uint32_t flags, uint64_t token)
{
	int made = shim_connect(token, flags, NULL);

	return reply(fd, made < 0 ? errno : 0, made < 0 ? 0 : made, NULL, 0);
}

static int pages(int fd, pid_t pid, uint64_t address, uint64_t length)
{
	struct extent *extents = NULL;
	uint32_t count = 0;
	int error = shim_pages(pid, address, length, &extents, &count);
	size_t bytes = count * sizeof(*extents);
	char *block = malloc(HEAD_ROOM + bytes);
	int sent;

	if (!block)
		return -1;
	if (bytes)
		memcpy(block + HEAD_ROOM, extents, bytes);
	sent = reply(fd, error, count, block + HEAD_ROOM, bytes);
	free(block);
	free(extents);
	return sent;
}

static bool is_memory_file(int fd)
{
	static const char prefix[] = "/memfd:";
	char link[64], target[sizeof(prefix)];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, target, sizeof(target)) >= (ssize_t)sizeof(prefix) - 1 &&
	       !memcmp(target, prefix, sizeof(prefix) - 1);
}

struct file_info {
	uint32_t kind, zero;
	uint64_t token, dev, ino, size;
};

/* dev and ino of a file opened by path: 0 and its name, which the server knows it by. */
static int file_info(int fd, int asked)
{
	struct { char room[HEAD_ROOM]; struct file_info info; } answer = { 0 };
	struct connection *ours = shim_find(asked);
	struct stat stat;

	if (ours) {
		answer.info.kind = 1;
		answer.info.token = ours->token;
		answer.info.ino = ours->token ? 0 : ours->name;
	} else if (fstat(asked, &stat) < 0) {
		return reply(fd, EBADF, 0, NULL, 0);
	} else if (is_memory_file(asked)) {
		answer.info.kind = 2;
		answer.info.dev = (uint64_t)major(stat.st_dev) << 32 | minor(stat.st_dev);
		answer.info.ino = stat.st_ino;
		answer.info.size = stat.st_size;
	}
	return reply(fd, 0, 0, &answer.info, sizeof(answer.info));
}

int shim_answer(int fd, const uint8_t *head, uint32_t length, uint32_t type)
{
	uint32_t first, second;
	uint64_t address, more;

	memcpy(&first, head + 8, 4);
	memcpy(&second, head + 12, 4);
	memcpy(&address, head + 16, 8);
	if (type == PEEK && length == 16 && second <= BLOCK_LIMIT)
		return peek(fd, first, second, address);
	if (type == POKE && second <= BLOCK_LIMIT && length == 16 + second)
		return poke(fd, first, second, address);
	if (type == NEWFD && length == 16)
		return new_descriptor(fd, first, address);
	if (type == FILEINFO && length == 16)
		return file_info(fd, first);
	if (type == PAGES && length == 24) {
		if (shim_receive(fd, &more, sizeof(more)) < 0)
			return -1;
		return pages(fd, first, address, more);
	}
	errno = EIO;
	return -1;
}
