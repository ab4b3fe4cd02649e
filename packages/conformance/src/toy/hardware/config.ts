/** What one instance of the toy advertises in its CAPS register. */
export interface ToyHardwareConfig {
  /** Width of the physical addresses it can emit, 32 … 52. */
  readonly outputBits: number;
  readonly largePages: boolean;
  readonly pasid: boolean;
  readonly nesting: 'none' | 'on-parent' | 'virtual';
  readonly dirty: boolean;
  readonly snoop: boolean;
  readonly writeOnly: boolean;
  readonly execute: boolean;
  readonly bypass: boolean;
  /** Refusals of blocked devices are recorded. */
  readonly reportsBlocked: boolean;
  /** Software may show the identification registers to a guest. */
  readonly info: boolean;
}

export const EVERYTHING: ToyHardwareConfig = {
  outputBits: 44,
  largePages: true,
  pasid: true,
  nesting: 'virtual',
  dirty: true,
  snoop: true,
  writeOnly: true,
  execute: true,
  bypass: true,
  reportsBlocked: true,
  info: true,
};

export const NOTHING: ToyHardwareConfig = {
  outputBits: 40,
  largePages: false,
  pasid: false,
  nesting: 'none',
  dirty: false,
  snoop: false,
  writeOnly: false,
  execute: false,
  bypass: false,
  reportsBlocked: false,
  info: false,
};
