// The newest points of a few series over one time axis, kept outside of React and bounded.

export type Value = number | null;

export class Ring {
  t: number[] = [];
  readonly v: Value[][];
  /** Goes up with each change: what is drawn is compared with it. */
  version = 0;

  constructor(
    readonly width: number,
    readonly capacity = 4_096,
  ) {
    this.v = Array.from({ length: width }, () => []);
  }

  push(t: number, ...values: Value[]) {
    // A clock that was set back, or a point that came twice.
    if (this.t.length > 0 && t <= this.t[this.t.length - 1]!) return;
    this.t.push(t);
    for (let column = 0; column < this.width; column++) this.v[column]!.push(values[column] ?? null);
    // In large pieces: taking one from the front moves all the others.
    if (this.t.length > this.capacity * 1.25) {
      const excess = this.t.length - this.capacity;
      this.t.splice(0, excess);
      for (const column of this.v) column.splice(0, excess);
    }
    this.version++;
  }

  load(t: number[], ...columns: Value[][]) {
    this.t = t.slice(-this.capacity);
    for (let column = 0; column < this.width; column++) {
      this.v[column] = (columns[column] ?? []).slice(-this.capacity);
    }
    this.version++;
  }

  last(column = 0): Value {
    return this.v[column]?.at(-1) ?? null;
  }
}
