/** Files of a pool in memory: path → text. A directory exists while something lies in it. */
export class MemoryFiles {
  readonly #files = new Map<string, string>();

  read(path: string): string | undefined {
    return this.#files.get(path);
  }

  write(path: string, text: string): void {
    this.#files.set(path, text);
  }

  remove(path: string): void {
    this.#files.delete(path);
  }

  /** Whether anything lies in a directory. */
  has(directory: string): boolean {
    return this.under(directory).length > 0;
  }

  /** Paths below a directory, relative to it. */
  under(directory: string): string[] {
    const prefix = `${directory}/`;
    return [...this.#files.keys()].filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
  }

  /** Names directly below a directory. */
  entries(directory: string): string[] {
    return [...new Set(this.under(directory).map((path) => path.split('/', 1)[0] as string))];
  }

  copyTree(from: string, to: string): void {
    for (const name of this.under(from)) this.write(`${to}/${name}`, this.read(`${from}/${name}`) as string);
  }

  moveTree(from: string, to: string): void {
    this.copyTree(from, to);
    this.removeTree(from);
  }

  removeTree(directory: string): void {
    for (const name of this.under(directory)) this.#files.delete(`${directory}/${name}`);
  }
}
