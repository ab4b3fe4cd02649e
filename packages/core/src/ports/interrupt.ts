/** The hardware's end of a wired interrupt. An MSI is no line: the model writes memory at the doorbell's address. */
export interface InterruptLine {
  /** One edge. Delivered after the access that caused it has returned, never inside it. */
  pulse(): void;
}

/** The driver's end of an interrupt, wired or message signalled. */
export interface InterruptSource {
  /** Physical address and data of the message, where the platform has message interrupts; null without. */
  readonly msi: { readonly address: bigint; readonly data: number } | null;
  /** At most one handler; a second call replaces it, `null` removes it. */
  handle(handler: (() => void) | null): void;
}
