/* What a program may do with descriptors of ours; one check per run, named by the argument. Exit code 0: it holds. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
			exit(1); \
		} \
	} while (0)

enum { DESTROY = 0x3b80, IOAS_ALLOC = 0x3b81, MAP = 0x3b85, HWPT_ALLOC = 0x3b89, FAULT_ALLOC = 0x3b8e, VIOMMU = 0x3b90, TEST = 0x3ba0 };

struct test { uint32_t size, op, id, zero, words[14]; };
struct map { uint32_t size, flags, ioas, zero; uint64_t address, length, iova; };

static uint32_t ioas_alloc(int fd)
{
	uint32_t words[3] = { sizeof(words) };

	return ioctl(fd, IOAS_ALLOC, words) ? 0 : words[2];
}

static struct test mock_domain(int fd, uint32_t ioas)
{
	struct test test = { .size = sizeof(test), .op = 2, .id = ioas };

	CHECK(ioctl(fd, TEST, &test) == 0);
	return test;
}

static int open_iommu(void)
{
	int fd = open("/dev/iommu", O_RDWR);

	CHECK(fd >= 0);
	return fd;
}

static void copies(void)
{
	int fd = open_iommu(), low = dup(fd), high = fcntl(fd, F_DUPFD, 100);

	CHECK(low == fd + 1 && high == 100 && dup2(fd, 101) == 101);
	CHECK(ioas_alloc(high) == 1);
	CHECK(close(fd) == 0 && close(low) == 0 && close(high) == 0);
	CHECK(ioas_alloc(101) == 2);
	CHECK(close(101) == 0 && ioctl(101, IOAS_ALLOC, NULL) == -1 && errno == EBADF);
	fd = open_iommu();
	CHECK(fd == low - 1 && ioas_alloc(fd) == 1);
}

static void children(void)
{
	int fd = open_iommu(), status;
	pid_t pid = fork();

	if (pid == 0) {
		CHECK(ioas_alloc(fd) == 1);
		CHECK(close(fd) == 0);
		exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(ioas_alloc(fd) == 2);
	pid = fork();
	if (pid == 0) {
		CHECK(ioas_alloc(fd) == 3);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(ioas_alloc(fd) == 4);
}

static void faults(void)
{
	uint32_t words[3] = { sizeof(words) }, *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open_iommu();

	CHECK(ioctl(fd, IOAS_ALLOC, NULL) == -1 && errno == EFAULT);
	CHECK(ioctl(fd, IOAS_ALLOC, -1L) == -1 && errno == EFAULT);
	munmap(page + 1024, 4096);
	page[1022] = 12;
	CHECK(ioctl(fd, IOAS_ALLOC, page + 1022) == -1 && errno == EFAULT);
	memcpy(page, words, sizeof(words));
	mprotect(page, 4096, PROT_READ);
	CHECK(ioctl(fd, IOAS_ALLOC, page) == -1 && errno == EFAULT);
	mprotect(page, 4096, PROT_NONE);
	CHECK(ioctl(fd, IOAS_ALLOC, page) == -1 && errno == EFAULT);
	CHECK(ioas_alloc(fd) == 1);
}

static void queues(void)
{
	int fd = open_iommu();
	uint32_t ioas = ioas_alloc(fd), fault[4] = { sizeof(fault) }, record[10];
	struct test mock = mock_domain(fd, ioas), test = { .size = sizeof(test) };
	uint32_t hwpt[12] = { sizeof(hwpt), 4, mock.words[2], ioas };
	struct pollfd pollfd = { .events = POLLIN };

	CHECK(ioctl(fd, FAULT_ALLOC, fault) == 0);
	pollfd.fd = fault[3];
	CHECK(pollfd.fd == fd + 1 && fcntl(pollfd.fd, F_GETFD) == FD_CLOEXEC);
	hwpt[10] = fault[2];
	CHECK(ioctl(fd, HWPT_ALLOC, hwpt) == 0);
	test.op = 10;
	test.id = mock.words[0];
	test.words[0] = hwpt[4];
	CHECK(ioctl(fd, TEST, &test) == 0);
	CHECK(poll(&pollfd, 1, 0) == 0 && read(pollfd.fd, record, sizeof(record)) == 0);
	test = (struct test){ .size = sizeof(test), .op = 15, .words = { mock.words[2], 0, 1, 1, 0x5000 } };
	CHECK(ioctl(fd, TEST, &test) == 0);
	CHECK(poll(&pollfd, 1, 1000) == 1 && pollfd.revents == POLLIN);
	CHECK(read(pollfd.fd, record, 8) == -1 && errno == ESPIPE);
	CHECK(pread(pollfd.fd, record, 40, 0) == -1 && errno == ESPIPE);
	CHECK(poll(&pollfd, 1, 1000) == 1);
	CHECK(read(pollfd.fd, record, sizeof(record)) == 40 && record[6] == 0x5000 && record[9] != 0);
	CHECK(poll(&pollfd, 1, 0) == 0);
	uint32_t response[2] = { record[9], 0 };
	CHECK(write(pollfd.fd, response, sizeof(response)) == sizeof(response));
	CHECK(write(pollfd.fd, response, sizeof(response)) == -1 && errno == EINVAL);
}

static void regions(void)
{
	int fd = open_iommu();
	uint32_t ioas = ioas_alloc(fd);
	struct test mock = mock_domain(fd, ioas);
	struct { uint32_t in, out; uint64_t offset, length; } data = { .in = 7 };
	uint32_t hwpt[12] = { sizeof(hwpt), 1, mock.words[2], ioas };

	CHECK(ioctl(fd, HWPT_ALLOC, hwpt) == 0);
	struct { uint32_t size, flags, type, dev, hwpt, out, len, zero; uint64_t data; } viommu = {
		40, 0, 0xdeadbeef, mock.words[2], hwpt[4], 0, sizeof(data), 0, (uintptr_t)&data };
	CHECK(ioctl(fd, VIOMMU, &viommu) == 0 && data.out == 7 && data.offset && data.length);
	CHECK(mmap(NULL, data.length, PROT_READ, MAP_PRIVATE, fd, data.offset) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, data.length, PROT_READ, MAP_SHARED, fd, data.offset + 4096) == MAP_FAILED && errno == ENXIO);
	uint32_t *page = mmap(NULL, data.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, data.offset), destroy[2] = { 8, viommu.out };
	CHECK(page != MAP_FAILED && page[0] == 7);
	CHECK(ioctl(fd, DESTROY, destroy) == -1 && errno == EBUSY);
	CHECK(munmap(page, data.length) == 0);
	CHECK(ioctl(fd, DESTROY, destroy) == 0);
}

static void status(void)
{
	int fd = open_iommu();
	uint32_t ioas = ioas_alloc(fd);
	unsigned long value = 0;
	char line[256], *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct map map = { sizeof(map), 7, ioas, 0, (uintptr_t)page, 65536, 1 << 24 };

	mock_domain(fd, ioas);
	CHECK(ioctl(fd, MAP, &map) == 0);
	FILE *file = fopen("/proc/self/status", "r");
	CHECK(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "VmPin: %lu kB", &value);
	CHECK(value == 64);
}

static void *allocate(void *fd)
{
	for (int i = 0; i < 300; i++)
		if (!ioas_alloc(*(int *)fd))
			return fd;
	return NULL;
}

static void threads(void)
{
	int fd = open_iommu();
	pthread_t ids[4];
	void *failed;

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&ids[i], NULL, allocate, &fd) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(ids[i], &failed) == 0 && !failed);
	CHECK(ioas_alloc(fd) == 4 * 300 + 1);
}

static void untouched(void)
{
	char text[64] = "", name[] = "/tmp/iommukit-probe-XXXXXX";
	int fd = mkstemp(name);

	CHECK(fd >= 0 && write(fd, "hello", 5) == 5 && pread(fd, text, 5, 0) == 5 && !strcmp(text, "hello"));
	CHECK(open("/dev/iommu2", O_RDWR) == -1 && errno == ENOENT);
	CHECK(open("/dev/vfio/devices/vfio9", O_RDWR) == -1 && errno == ENOENT);
	CHECK(access("/dev/iommu", R_OK) == 0 && unlink(name) == 0 && close(fd) == 0);
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } checks[] = {
		{ "copies", copies }, { "children", children }, { "faults", faults },   { "queues", queues },
		{ "regions", regions }, { "status", status },   { "threads", threads }, { "untouched", untouched },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(checks) / sizeof(*checks); i++) {
		if (strcmp(argv[1], checks[i].name))
			continue;
		checks[i].run();
		return 0;
	}
	return 2;
}
