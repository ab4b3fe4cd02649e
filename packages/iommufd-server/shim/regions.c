#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim.h"

/* Out of the way of the numbers a program counts on. */
enum { FIRST_HIDDEN = 900 };

struct region {
	struct region *next;
	void *address;
	size_t length;
	int fd; /* A hidden copy: the mapping holds the file open. */
};

static struct region *regions;
static pthread_mutex_t regions_lock = PTHREAD_MUTEX_INITIALIZER;

static void *raw_map(void *hint, size_t length, int prot, int flags)
{
	return (void *)syscall(SYS_mmap, hint, length, prot, flags, -1, 0);
}

static void *undo(struct region *region, int error)
{
	if (region->address != MAP_FAILED)
		syscall(SYS_munmap, region->address, region->length);
	if (region->fd >= 0)
		shim_close(region->fd);
	free(region);
	errno = error;
	return MAP_FAILED;
}

void *shim_map(int fd, struct connection *connection, void *hint, size_t length, int prot, int flags, off_t offset)
{
	size_t page = sysconf(_SC_PAGESIZE), rounded = (length + page - 1) & -page;
	struct region *region = calloc(1, sizeof(*region));
	struct call call = { .type = MMAP };

	if (!region || !length || rounded < length) {
		free(region);
		errno = region ? EINVAL : ENOMEM;
		return MAP_FAILED;
	}
	region->fd = -1;
	region->length = rounded;
	region->address = raw_map(hint, rounded, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | (flags & MAP_FIXED));
	if (region->address == MAP_FAILED)
		return undo(region, ENOMEM);
	call.args[0] = (uintptr_t)region->address;
	call.args[1] = rounded;
	call.args[2] = (uint32_t)prot | (uint64_t)(uint32_t)flags << 32;
	call.args[3] = offset;
	region->fd = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FIRST_HIDDEN);
	if (region->fd < 0)
		return undo(region, errno);
	shim_add(region->fd, connection);
	if (shim_call(connection, fd, &call) < 0)
		return undo(region, errno);
	mprotect(region->address, rounded, prot);
	pthread_mutex_lock(&regions_lock);
	region->next = regions;
	regions = region;
	pthread_mutex_unlock(&regions_lock);
	return region->address;
}

static struct region *take(const void *address, size_t length)
{
	struct region *found = NULL;

	pthread_mutex_lock(&regions_lock);
	for (struct region **at = &regions; *at; at = &(*at)->next) {
		if ((*at)->address != address || (*at)->length > length)
			continue;
		found = *at;
		*at = found->next;
		break;
	}
	pthread_mutex_unlock(&regions_lock);
	return found;
}

/* The server hears of it while the memory is still there: it takes a last look. */
bool shim_unmap(void *address, size_t length)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct region *region = regions ? take(address, (length + page - 1) & -page) : NULL;

	if (!region)
		return false;
	shim_call(shim_find(region->fd), region->fd,
		  &(struct call){ .type = MUNMAP, .args = { (uintptr_t)address, region->length } });
	syscall(SYS_munmap, address, length);
	shim_close(region->fd);
	free(region);
	return true;
}

/* A child's copies are not reported; its hidden descriptors would keep the file open. */
void shim_forget_regions(void)
{
	while (regions) {
		struct region *region = regions;

		regions = region->next;
		shim_close(region->fd);
		free(region);
	}
}

void shim_unmap_all(void)
{
	while (regions)
		shim_unmap(regions->address, regions->length);
}
