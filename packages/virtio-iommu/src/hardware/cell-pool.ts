/** First size, in cells. */
const INITIAL = 64;

/**
 * Equal cells of int32 words in one typed array that doubles when full, up to a limit the guest cannot pass.
 * A freed cell is the first to be used again.
 */
export class CellPool {
  cells: Int32Array;
  live = 0;
  private readonly stride: number;
  private readonly limit: number;
  private used = 0;
  private free = -1;

  constructor(stride: number, limit: number) {
    this.stride = stride;
    this.limit = limit;
    this.cells = new Int32Array(Math.min(INITIAL, limit) * stride);
  }

  /** Cells that can still be taken. */
  get room(): number {
    return this.limit - this.live;
  }

  /** Word index of a cell with stale contents. Only when {@link room} is not 0. May replace {@link cells}. */
  take(): number {
    this.live++;
    if (this.free !== -1) {
      const cell = this.free;
      this.free = this.cells[cell]!;
      return cell;
    }
    const cell = this.used++ * this.stride;
    if (cell + this.stride > this.cells.length) this.grow();
    return cell;
  }

  release(cell: number): void {
    this.live--;
    this.cells[cell] = this.free;
    this.free = cell;
  }

  /** Forgets every cell. */
  clear(): void {
    this.cells = new Int32Array(Math.min(INITIAL, this.limit) * this.stride);
    this.live = 0;
    this.used = 0;
    this.free = -1;
  }

  private grow(): void {
    const wider = new Int32Array(Math.min(this.cells.length * 2, this.limit * this.stride));
    wider.set(this.cells);
    this.cells = wider;
  }
}
