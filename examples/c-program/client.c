/*
 * A VMM's first steps with iommufd, in plain C: an address space, a mapping, a device, the hardware's registers, and a
 * guest's own page table on top. Nothing here knows of a simulation. Headers before Linux 6.2 lack <linux/iommufd.h>, so
 * what is used of it is declared here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define IOMMU_CMD(number) (';' << 8 | (number))
#define IOMMU_IOAS_ALLOC IOMMU_CMD(0x81)
#define IOMMU_IOAS_MAP IOMMU_CMD(0x85)
#define IOMMU_IOAS_UNMAP IOMMU_CMD(0x86)
#define IOMMU_HWPT_ALLOC IOMMU_CMD(0x89)
#define IOMMU_GET_HW_INFO IOMMU_CMD(0x8a)
#define IOMMU_HWPT_INVALIDATE IOMMU_CMD(0x8d)
#define VFIO_DEVICE_BIND_IOMMUFD IOMMU_CMD(0x76)
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT IOMMU_CMD(0x77)

enum { MAP_FIXED_IOVA = 1, MAP_WRITEABLE = 2, MAP_READABLE = 4 };
enum { NEST_PARENT = 1, HW_INFO_VTD = 1, DATA_VTD_S1 = 1, INVALIDATE_VTD_S1 = 0 };

struct ioas_alloc { uint32_t size, flags, out_ioas_id; };
struct ioas_map { uint32_t size, flags, ioas_id, reserved; uint64_t user_va, length, iova; };
struct ioas_unmap { uint32_t size, ioas_id; uint64_t iova, length; };
struct hwpt_alloc {
	uint32_t size, flags, dev_id, pt_id, out_hwpt_id, reserved, data_type, data_len;
	uint64_t data_uptr;
	uint32_t fault_id, reserved2;
};
struct hw_info {
	uint32_t size, flags, dev_id, data_len;
	uint64_t data_uptr;
	uint32_t out_data_type;
	uint8_t out_max_pasid_log2, reserved[3];
	uint64_t out_capabilities;
};
struct hwpt_invalidate { uint32_t size, hwpt_id; uint64_t data_uptr; uint32_t data_type, entry_len, entry_num, reserved; };
struct bind { uint32_t argsz, flags; int32_t iommufd; uint32_t out_devid; };
struct attach { uint32_t argsz, flags, pt_id, pasid; };
struct vtd_info { uint32_t flags, reserved; uint64_t cap, ecap; };
struct vtd_s1 { uint64_t flags, pgtbl_addr; uint32_t addr_width, reserved; };
struct vtd_s1_invalidate { uint64_t addr, npages; uint32_t flags, reserved; };

static void must(const char *what, int result)
{
	if (result < 0) {
		printf("%s: %s\n", what, strerror(errno));
		exit(1);
	}
}

/* A call that has to fail, and how. */
static void refused(const char *what, int result, int error)
{
	if (result >= 0 || errno != error) {
		printf("%s: not refused with %s\n", what, strerror(error));
		exit(1);
	}
}

int main(int argc, char **argv)
{
	const uint64_t length = 4 << 20, iova = 0x40000000;
	const char *path = argc > 1 ? argv[1] : "/dev/vfio/devices/vfio0";
	void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC), device = open(path, O_RDWR | O_CLOEXEC);

	must("/dev/iommu", iommu);
	must(path, device);

	struct bind bind = { .argsz = sizeof(bind), .iommufd = iommu };
	must("BIND_IOMMUFD", ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind));

	struct vtd_info registers = { 0 };
	struct hw_info info = { .size = sizeof(info), .dev_id = bind.out_devid,
				.data_len = sizeof(registers), .data_uptr = (uintptr_t)&registers };
	must("GET_HW_INFO", ioctl(iommu, IOMMU_GET_HW_INFO, &info));
	printf("hardware of type %u: CAP 0x%llx, ECAP 0x%llx\n", info.out_data_type, (unsigned long long)registers.cap,
	       (unsigned long long)registers.ecap);
	if (info.out_data_type != HW_INFO_VTD)
		return 2;

	struct ioas_alloc ioas = { .size = sizeof(ioas) };
	must("IOAS_ALLOC", ioctl(iommu, IOMMU_IOAS_ALLOC, &ioas));
	struct ioas_map map = { .size = sizeof(map), .flags = MAP_FIXED_IOVA | MAP_READABLE | MAP_WRITEABLE,
				.ioas_id = ioas.out_ioas_id, .user_va = (uintptr_t)memory, .length = length, .iova = iova };
	must("IOAS_MAP", ioctl(iommu, IOMMU_IOAS_MAP, &map));
	refused("IOAS_MAP twice", ioctl(iommu, IOMMU_IOAS_MAP, &map), EEXIST);

	struct hwpt_alloc parent = { .size = sizeof(parent), .flags = NEST_PARENT, .dev_id = bind.out_devid, .pt_id = ioas.out_ioas_id };
	must("HWPT_ALLOC of the parent", ioctl(iommu, IOMMU_HWPT_ALLOC, &parent));
	struct vtd_s1 guest = { .pgtbl_addr = iova, .addr_width = 48 };
	struct hwpt_alloc nested = { .size = sizeof(nested), .dev_id = bind.out_devid, .pt_id = parent.out_hwpt_id,
				     .data_type = DATA_VTD_S1, .data_len = sizeof(guest), .data_uptr = (uintptr_t)&guest };
	must("HWPT_ALLOC of the guest's table", ioctl(iommu, IOMMU_HWPT_ALLOC, &nested));
	struct attach attach = { .argsz = sizeof(attach), .pt_id = nested.out_hwpt_id };
	must("ATTACH_IOMMUFD_PT", ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));

	struct vtd_s1_invalidate entries[] = { { .addr = iova, .npages = 16 }, { .addr = 0, .npages = UINT64_MAX }, { .addr = 1, .npages = 1 } };
	struct hwpt_invalidate invalidate = { .size = sizeof(invalidate), .hwpt_id = nested.out_hwpt_id, .data_uptr = (uintptr_t)entries,
					      .data_type = INVALIDATE_VTD_S1, .entry_len = sizeof(entries[0]), .entry_num = 3 };
	refused("HWPT_INVALIDATE of a misaligned address", ioctl(iommu, IOMMU_HWPT_INVALIDATE, &invalidate), EINVAL);
	printf("invalidated %u entries of 3, the last is misaligned\n", invalidate.entry_num);

	close(device);
	struct ioas_unmap unmap = { .size = sizeof(unmap), .ioas_id = ioas.out_ioas_id, .iova = iova, .length = length };
	must("IOAS_UNMAP", ioctl(iommu, IOMMU_IOAS_UNMAP, &unmap));
	printf("unmapped %llu bytes\n", (unsigned long long)unmap.length);
	close(iommu);
	return 0;
}
