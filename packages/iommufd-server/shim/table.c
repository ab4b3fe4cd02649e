#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim.h"

enum { DESCRIPTORS = 1 << 16 };

static struct connection *table[DESCRIPTORS];
static int highest = -1;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

void shim_lock_table(void)
{
	pthread_mutex_lock(&table_lock);
}

void shim_unlock_table(void)
{
	pthread_mutex_unlock(&table_lock);
}

struct connection *shim_find(int fd)
{
	if (fd < 0 || fd >= DESCRIPTORS)
		return NULL;
	return __atomic_load_n(&table[fd], __ATOMIC_ACQUIRE);
}

int shim_any(struct connection **connection)
{
	for (int fd = 0; fd <= highest; fd++)
		if ((*connection = shim_find(fd)) && !(*connection)->shared->dead)
			return fd;
	return -1;
}

/* A descriptor of a file; one that is opened, or a copy. */
void shim_add(int fd, struct connection *connection)
{
	if (fd < 0 || fd >= DESCRIPTORS)
		return;
	__atomic_add_fetch(&connection->shared->copies, 1, __ATOMIC_ACQ_REL);
	shim_lock_table();
	__atomic_store_n(&table[fd], connection, __ATOMIC_RELEASE);
	if (fd > highest)
		highest = fd;
	shim_unlock_table();
}

/* Copies of a connection in this process; table locked. */
static int copies_here(const struct connection *connection)
{
	int count = 0;

	for (int fd = 0; fd <= highest; fd++)
		count += table[fd] == connection;
	return count;
}

/* The last copy in the last process says goodbye first, so that the release is finished when close returns. */
int shim_close(int fd)
{
	struct connection *connection = shim_find(fd);
	bool last_here;

	if (!connection)
		return syscall(SYS_close, fd);
	shim_lock_table();
	__atomic_store_n(&table[fd], NULL, __ATOMIC_RELEASE);
	last_here = copies_here(connection) == 0;
	shim_unlock_table();
	if (__atomic_sub_fetch(&connection->shared->copies, 1, __ATOMIC_ACQ_REL) == 0)
		shim_call(connection, fd, &(struct call){ .type = CLOSE });
	if (last_here) {
		munmap(connection->shared, sizeof(struct shared));
		free(connection);
	}
	return syscall(SYS_close, fd);
}

void shim_close_range(unsigned first, unsigned last)
{
	for (int fd = first > DESCRIPTORS ? DESCRIPTORS : (int)first; fd <= highest && (unsigned)fd <= last; fd++)
		if (shim_find(fd))
			shim_close(fd);
}

void shim_count_copies(int by)
{
	for (int fd = 0; fd <= highest; fd++)
		if (table[fd])
			__atomic_add_fetch(&table[fd]->shared->copies, by, __ATOMIC_ACQ_REL);
}
