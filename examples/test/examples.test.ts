import { beforeEach, expect, test, vi } from 'vitest';

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  vi.resetModules();
  vi.spyOn(console, 'log').mockImplementation((line: string) => {
    lines.push(line);
  });
});

test('quickstart', async () => {
  await import('../quickstart/src/main.ts');
  expect(lines).toEqual([
    "write: done, memory holds 'hello'",
    'fault: F_TRANSLATION (not-present) at 0x10040, read',
    'read after unmap: refused',
  ]);
});

test('same-app-three-vendors', async () => {
  await import('../same-app-three-vendors/src/main.ts');
  expect(lines.map((line) => line.split(':')[0])).toEqual(['arm-smmuv3', 'intel-vtd', 'virtio-iommu']);
  for (const line of lines)
    expect(line).toMatch(/read ca fe, completion written, late write refused: \S+ \(not-present\)$/);
});

test('nested-virtual-machine', async () => {
  await import('../nested-virtual-machine/src/main.ts');
  expect(lines).toContain('the device reads 1');
  expect(lines).toContain("before the guest's command: 1");
  expect(lines).toContain("after the guest's command: 2");
  expect(lines).toContain("a page outside the guest's memory: refused");
  expect(lines.filter((line) => line.includes('EIO'))).toHaveLength(2);
});

test('write-a-vendor', async () => {
  await import('../write-a-vendor/src/main.ts');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^turnstile: \d{2,} passed, 0 failed, \d+ skipped$/);
});
