/** What a mock driver has given out and not got back; for tests of failure. */
export interface MockLive {
  /** Paging and nested. */
  domains: number;
  viommus: number;
  queues: number;
  devices: number;
  /** Table blocks that were still mapped when their domain was freed. */
  blocksLeft: number;
}

export const nothingLive = (): MockLive => ({ domains: 0, viommus: 0, queues: 0, devices: 0, blocksLeft: 0 });
