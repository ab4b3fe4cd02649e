#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim.h"

/* The whole of a process' maps; NULL and errno. An empty file: the process has no memory any more. */
static char *read_maps(pid_t pid)
{
	char path[64], *text = NULL;
	size_t room = 0, have = 0;
	int fd, error = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid ? pid : getpid());
	fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0) {
		if (errno == ENOENT)
			errno = ESRCH;
		return NULL;
	}
	for (;;) {
		if (room - have < 4096) {
			char *more = realloc(text, room = room ? room * 2 : 32768);

			if (!more) {
				error = ENOMEM;
				break;
			}
			text = more;
		}
		long got = syscall(SYS_read, fd, text + have, room - have - 1);

		if (got < 0)
			error = errno;
		if (got <= 0)
			break;
		have += got;
	}
	syscall(SYS_close, fd);
	if (!error && have == 0)
		error = ESRCH;
	if (error) {
		free(text);
		errno = error;
		return NULL;
	}
	text[have] = 0;
	return text;
}

static uint64_t hexadecimal(const char **at)
{
	uint64_t value = 0;

	for (;; (*at)++) {
		char digit = **at;

		if (digit >= '0' && digit <= '9')
			value = value << 4 | (digit - '0');
		else if (digit >= 'a' && digit <= 'f')
			value = value << 4 | (digit - 'a' + 10);
		else
			return value;
	}
}

/* Most lines are not in the range, and a map is looked up often. */
static uint64_t end_of(const char *line)
{
	hexadecimal(&line);
	if (*line++ != '-')
		return 0;
	return hexadecimal(&line);
}

static bool parse(const char *line, uint64_t *end, struct extent *out)
{
	unsigned major, minor;
	char prot[5];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &out->address, end, prot, &out->offset,
		   &major, &minor, &out->ino) != 7)
		return false;
	out->length = *end - out->address;
	out->dev = (uint64_t)major << 32 | minor;
	out->prot = (prot[0] == 'r') | (prot[1] == 'w') << 1 | (prot[2] == 'x') << 2 | (prot[3] == 's') << 3;
	out->zero = 0;
	return true;
}

int shim_pages(pid_t pid, uint64_t address, uint64_t length, struct extent **extents, uint32_t *count)
{
	uint64_t next = address, stop = address + length;
	char *text = read_maps(pid);
	size_t room = 0;

	if (!text)
		return errno;
	for (char *line = text; line && *line && next < stop;) {
		struct extent extent;
		uint64_t end;

		if (end_of(line) > next && parse(line, &end, &extent)) {
			if (extent.address > next)
				break;
			if (*count == room)
				*extents = realloc(*extents, (room = room ? room * 2 : 16) * sizeof(extent));
			extent.offset += next - extent.address;
			extent.address = next;
			extent.length = (end < stop ? end : stop) - next;
			(*extents)[(*count)++] = extent;
			next = end;
		}
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	free(text);
	return next < stop ? EFAULT : 0;
}
