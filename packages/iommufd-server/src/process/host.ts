import { PinLedger } from '../memory/pin-ledger.ts';
import { Windows } from '../memory/windows.ts';
import { ClientProcess } from './client-process.ts';
import { OpenFiles } from './open-files.ts';
import type { Transaction } from './transaction.ts';

export interface HostOptions {
  /**
   * Physical addresses for the programs' memory, multiples of 1 GiB, `last` inclusive. Default: 4 GiB to 2^40, which
   * every IOMMU in use can address.
   */
  readonly start?: bigint;
  readonly last?: bigint;
}

/** Above this many, processes that own nothing are forgotten. */
const PROCESSES_KEPT = 1024;

/** The side of the programs, as the server sees it: who they are, what of their memory is pinned, what they opened. */
export class Host {
  /** Pins of every page, over all programs. */
  readonly pins = new PinLedger();
  readonly windows: Windows;
  readonly files = new OpenFiles();
  /** The call being served; the way to every process. */
  transaction: Transaction | null = null;
  readonly #processes = new Map<number, ClientProcess>();

  constructor({ start = 1n << 32n, last = (1n << 40n) - 1n }: HostOptions = {}) {
    this.windows = new Windows({ start, last, idle: (pa) => this.pins.idle(pa) });
  }

  /** The process a request comes from: it is there, whoever had its number before. */
  caller(pid: number): ClientProcess {
    let process = this.#processes.get(pid);
    if (!process) {
      if (this.#processes.size >= PROCESSES_KEPT) this.#forget();
      this.#processes.set(pid, (process = new ClientProcess(this, pid)));
    }
    process.gone = false;
    return process;
  }

  /** Pages pinned on behalf of a process, and those that count against its own limit. */
  accountOf(pid: number): { readonly pinned: bigint; readonly locked: bigint } {
    const accounts = this.#processes.get(pid)?.accounts;
    if (!accounts) return { pinned: 0n, locked: 0n };
    return { pinned: accounts.user.pages + accounts.process.pages, locked: accounts.process.pages };
  }

  /** An area mapped without a domain keeps its process alive by itself, and is charged to that very account later. */
  #forget(): void {
    for (const [pid, process] of this.#processes) if (process.idle) this.#processes.delete(pid);
  }
}
