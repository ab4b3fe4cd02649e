/*
 * A preload library that forwards /dev/iommu to an iommufd server over a local socket, protocol version 1. A connected
 * socket is the descriptor the program gets; each call on it is one transaction.
 */
#ifndef IOMMUKIT_SHIM_H
#define IOMMUKIT_SHIM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum request { HELLO = 1, IOCTL, READ, WRITE, CLOSE, MMAP, MUNMAP, ACCOUNT, REPLY = 0x40 };
enum answer { RETURN = 0x80, PEEK, POKE, NEWFD, PAGES, FILEINFO, READY = 0x8f };

enum { HEADER_BYTES = 8, REQUEST_BYTES = 40, PREFETCH_LIMIT = 128, BLOCK_LIMIT = 1 << 20 };

/* Memory all processes that share a connection share, too. */
struct shared {
	pthread_mutex_t lock; /* One transaction at a time; robust. */
	int copies;           /* Descriptors in all processes, by __atomic. */
	int dead;             /* The server broke the protocol, left or was silent. */
};

/* One open file. */
struct connection {
	struct shared *shared;
	uint64_t token; /* 0: opened by path. */
	uint64_t name;  /* Of one opened by path: what FILEINFO tells the server. */
};

struct call {
	uint32_t type;
	uint64_t args[4];
	const void *prefetch;
	size_t prefetch_bytes;
};

/* connection.c */
int shim_connect(uint64_t token, int flags, const char *path); /* descriptor, or -1 and errno */
long shim_call(struct connection *connection, int fd, const struct call *call);
long shim_call_with_memory(struct connection *connection, int fd, struct call *call, uint64_t address);
int shim_send(int fd, const void *bytes, size_t count);

/* asks.c: answers one ask; -1: the connection is broken. `head` is the ask's first 24 bytes with its header. */
int shim_answer(int fd, const uint8_t *head, uint32_t length, uint32_t type);
size_t shim_read_memory(pid_t pid, uint64_t address, void *into, size_t count, int *error);
int shim_receive(int fd, void *into, size_t count);

/* maps.c */
struct extent {
	uint64_t address, length, dev, ino, offset;
	uint32_t prot, zero;
};
int shim_pages(pid_t pid, uint64_t address, uint64_t length, struct extent **extents, uint32_t *count); /* errno */

/* table.c: which descriptors of this process are ours. */
struct connection *shim_find(int fd);
int shim_any(struct connection **connection); /* some descriptor of ours, or -1 */
void shim_add(int fd, struct connection *connection);
void shim_lock_table(void);
void shim_unlock_table(void);
int shim_close(int fd);
void shim_close_range(unsigned first, unsigned last);
void shim_count_copies(int by); /* around fork, table locked */

/* regions.c: memory of the server that is mapped here. */
void *shim_map(int fd, struct connection *connection, void *hint, size_t length, int prot, int flags, off_t offset);
bool shim_unmap(void *address, size_t length); /* true: a region of ours, and it is gone */
void shim_forget_regions(void);
void shim_unmap_all(void);

/* status.c */
int shim_status(const char *path, int flags); /* a descriptor; -1: not a path of this kind, or nothing to add */

#endif
