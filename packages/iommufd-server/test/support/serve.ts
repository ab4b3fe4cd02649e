import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Host, IommufdServer, MockFiles } from '../../src/index.ts';

/** A server on a socket of its own, with the mock behind it. */
export async function serveMock(timeout = 2000) {
  const directory = mkdtempSync(join(tmpdir(), 'iommukit-server-'));
  const path = join(directory, 'sock');
  const log: string[] = [];
  const host = new Host();
  const files = new MockFiles(host);
  const server = new IommufdServer({ host, provider: files, log: (message) => log.push(message), timeout });
  await server.listen(path);
  return {
    path,
    log,
    host,
    files,
    server,
    async close() {
      await server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
