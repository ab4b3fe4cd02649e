/** A file made by a command: records come out, some take records in. Never blocks. */
export interface RecordStream {
  /** True when a read would give something. */
  readonly readable: boolean;
  /** At most `count` bytes of whole records; empty when there are none. ESPIPE, EINVAL. */
  read(count: number): Uint8Array;
  /** Puts back what the last read gave: its bytes never reached the reader. */
  unread(bytes: Uint8Array): void;
  /** Bytes taken. ESPIPE, EINVAL. Absent: the file is read-only. */
  write?(bytes: Uint8Array): number;
  /** Size of one record that {@link write} takes. */
  readonly responseBytes?: number;
  /** Called when `readable` turns true. */
  onReadable: (() => void) | null;
  /** The last copy of the descriptor was closed. */
  close(): void;
}
