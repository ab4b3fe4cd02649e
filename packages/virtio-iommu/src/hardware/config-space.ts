import { CONFIG, CONFIG_BYTES } from '../format/config-space.ts';
import { type FeatureName, featureBits, hasFeature } from '../format/features.ts';
import type { VirtioIommuHardware } from './settings.ts';

/** Device configuration as software reads it. Fields whose feature is not offered read 0. Virtio 1.3 §5.13.4. */
export class ConfigSpace {
  private readonly bytes = new Uint8Array(CONFIG_BYTES);
  private readonly initialBypass: number;

  constructor(settings: VirtioIommuHardware) {
    const offered = featureBits(settings.features);
    const has = (name: FeatureName) => hasFeature(offered, name);
    const view = new DataView(this.bytes.buffer);
    view.setBigUint64(CONFIG.PAGE_SIZE_MASK, settings.pageSizeMask, true);
    if (has('INPUT_RANGE')) {
      view.setBigUint64(CONFIG.INPUT_RANGE_START, settings.inputRange.start, true);
      view.setBigUint64(CONFIG.INPUT_RANGE_END, settings.inputRange.last, true);
    }
    if (has('DOMAIN_RANGE')) {
      view.setUint32(CONFIG.DOMAIN_RANGE_START, settings.domainRange.start, true);
      view.setUint32(CONFIG.DOMAIN_RANGE_END, settings.domainRange.last, true);
    }
    if (has('PROBE')) view.setUint32(CONFIG.PROBE_SIZE, settings.probeSize, true);
    this.initialBypass = has('BYPASS_CONFIG') ? settings.bypass : 0;
    this.bypass = this.initialBypass;
  }

  get bypass(): number {
    return this.bytes[CONFIG.BYPASS]!;
  }

  set bypass(value: number) {
    this.bytes[CONFIG.BYPASS] = value;
  }

  /** A system reset; a device reset leaves `bypass` as it is. */
  reset(): void {
    this.bypass = this.initialBypass;
  }

  /** `size` bytes at a naturally aligned offset; 0 elsewhere. */
  read(offset: number, size: 1 | 2 | 4): number {
    if (offset % size !== 0 || offset < 0 || offset + size > CONFIG_BYTES) return 0;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.bytes[offset + i]!;
    return value >>> 0;
  }
}

/** The byte that an access of `size` bytes at `offset` writes to `bypass`; -1 when it does not touch it. */
export function bypassByteOf(offset: number, size: 1 | 2 | 4, value: number): number {
  const covered = offset % size === 0 && offset <= CONFIG.BYPASS && CONFIG.BYPASS < offset + size;
  return covered ? (value >>> ((CONFIG.BYPASS - offset) * 8)) & 0xff : -1;
}
